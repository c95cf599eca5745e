//! The plan: home shares and overflow weights of every gateway, and the health of every pool.
//!
//! A plan is a value that can be stored, sent and compared. The same fleet, observations, intents and time give the same plan.
//! It holds the state that the next plan needs, and nothing that changes without a decision.

mod carried_over;
mod headroom;
mod moved;
pub(crate) mod pool_view;
mod projection;
mod value;

pub use carried_over::carried_over;
pub use moved::{Cause, Condition, Crossing, Move, Moved, Pool, Share, Signal, Transition, moved};
pub use value::{Placements, Plan};

use crate::intent::Intents;
use crate::placement::{HomePool, Placement};
use crate::signal::Millis;
use crate::state::FleetState;
use crate::topology::Topology;
use headroom::{Choice, share_headroom};
use meridian_policy::fleet::Order;
use meridian_policy::{ModelName, RegionName};
use pool_view::PoolView;
use std::collections::BTreeMap;

/// The plan that follows `prev`, from the observations up to `now` and what operators have said.
pub fn plan(
    topology: &Topology,
    state: &FleetState,
    intents: &Intents,
    prev: &Plan,
    now: Millis,
) -> Plan {
    let view = PoolView::of(topology, state, intents, prev, now);
    let is_frozen = intents.is_frozen(now);
    let mut next = Plan {
        pools: view.health(),
        gateways: BTreeMap::new(),
        batch: if is_frozen {
            prev.batch.clone()
        } else {
            view.gates(prev)
        },
        freshness: prev
            .freshness
            .next(topology, |region| state.lag(topology, region, now)),
    };
    let mut choices: BTreeMap<ModelName, Vec<Choice>> = BTreeMap::new();
    topology.each_choice(|(gateway, zone, model), (first, others)| {
        let (place, before) = ((gateway, zone, model), prev.placement(gateway, zone, model));
        let kept = before.filter(|before| is_frozen && before.is_among(others));
        let serves = |region: &RegionName| others.contains(region) && view.serves(region, model);
        let kept = kept.cloned();
        if let Some(placement) = kept.or_else(|| intents.placement(place, serves, now)) {
            next.place(gateway, zone, model, placement);
            return;
        }
        let home = view.home_pool(first, others, model);
        let others = view.candidates(zone, (first, &home), others, model);
        if let Some(Order::Weighted(weights)) = topology.zones.get(zone).map(|zone| &zone.order) {
            let placement = Placement::fixed(weights, (first, &home), &others);
            next.place(gateway, zone, model, placement);
            return;
        }
        let choice = Choice {
            gateway: gateway.clone(),
            zone: zone.clone(),
            before: before.cloned().unwrap_or_else(Placement::home),
            capacity: view.capacity(first, model),
            first: HomePool {
                // Batch attempts at a closed gate are retries from other regions.
                receives_batch: home.receives_batch && next.batch_gate(first, model) > 0,
                movable_share: view.movable_share(first, model, gateway, zone),
                ..home
            },
            costs: view.round_trips(gateway, &others),
            others,
        };
        choices.entry(model.clone()).or_default().push(choice);
    });
    for (model, mut choices) in choices {
        share_headroom(&topology.overflow, &mut choices, now);
        for choice in choices {
            let placement =
                choice
                    .before
                    .next(&topology.overflow, &choice.first, &choice.others, now);
            next.place(&choice.gateway, &choice.zone, &model, placement);
        }
    }
    next
}
