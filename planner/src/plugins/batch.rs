//! Rules for batch requests.

use crate::batch::batch;
use crate::plan::Plan;
use crate::topology::Topology;
use meridian_policy::filter_policy::BatchRule;
use meridian_policy::{ModelName, RegionName, ZoneName};

/// The rule for batch requests of a (zone, model) at a gateway.
pub fn batch_rule(
    topology: &Topology,
    plan: &Plan,
    zone: &ZoneName,
    model: &ModelName,
    home: &RegionName,
) -> BatchRule {
    let reach = topology.reach(zone, model, home);
    let first = reach.and_then(|reach| reach.regions().first());
    let batch = batch(topology, plan, zone, model, home);
    let (Some(batch), Some(first)) = (batch, first) else {
        return BatchRule::default();
    };
    let overflow = plan.placement(home, zone, model);
    let overflow = overflow.into_iter().flat_map(|of| of.overflow.keys());
    let elsewhere = overflow.map(|region| plan.batch_gate(region, model)).min();
    let mut others = batch.weights;
    let first_weight = others.remove(first);
    BatchRule {
        admitted: batch.admitted,
        at_first: first_weight.is_some(),
        elsewhere: elsewhere.unwrap_or(100),
        others,
    }
}
