//! The plan in force, with the figures behind it.

use crate::serve::report::{DataReport, PoolReport, Report};
use crate::serve::store::PlanRecord;
use meridian_planner::placement::Placement;
use meridian_planner::plan::{Condition, Share};
use meridian_planner::schema::{Model, Name};
use meridian_planner::signal::Millis;
use meridian_planner::topology::Topology;
use meridian_policy::{ModelName, RegionName, ZoneName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The plan in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanReport {
    /// When the figures were read, in milliseconds since the Unix epoch.
    pub at: Millis,
    /// The number of the last plan that moved something; `null` before the first one.
    pub number: Option<u64>,
    /// When it was made.
    pub since: Option<Millis>,
    /// The revision of the plan in etcd, which counts renewals of its lease as well; `null` for a control plane on its own.
    pub revision: Option<i64>,
    /// Where requests go, of each (zone, model) at each gateway that has a choice.
    pub placements: Vec<PlacementReport>,
    /// The pools.
    pub pools: Vec<PoolPlanReport>,
    /// The freshness of each region's data, and whose database serves its retrieval.
    #[schema(value_type = BTreeMap<String, DataReport>)]
    pub data: BTreeMap<RegionName, DataReport>,
}

/// One placement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlacementReport {
    /// The gateway, by its region.
    #[schema(value_type = Name)]
    pub gateway: RegionName,
    /// The zone.
    #[schema(value_type = Name)]
    pub zone: ZoneName,
    /// The model.
    #[schema(value_type = Model)]
    pub model: ModelName,
    /// The first region, whose share it is.
    #[schema(value_type = Name)]
    pub first: RegionName,
    /// The share and the weights.
    #[serde(flatten)]
    pub share: Share,
    /// When the planner changed them last; `null` if it was long ago, or an operator set them.
    pub since: Option<Millis>,
    /// Utilization of the first region then, a ratio.
    pub utilization_then: Option<f64>,
    /// Utilization that the planner expects of it after the change, a ratio.
    pub utilization_expected: Option<f64>,
    /// Utilization of the first region now, a ratio.
    pub utilization: Option<f64>,
    /// Shedding did not lower the utilization. It goes no further.
    pub without_effect: bool,
}

/// One pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolPlanReport {
    /// The region.
    #[schema(value_type = Name)]
    pub region: RegionName,
    /// The model.
    #[schema(value_type = Model)]
    pub model: ModelName,
    /// Its health.
    #[serde(flatten)]
    pub health: Condition,
    /// Percent of the batch requests that it takes.
    pub batch: u8,
    /// Utilization, a ratio.
    pub utilization: Option<f64>,
    /// Waiting requests.
    pub queue: Option<f64>,
    /// 95th percentile of the time to the first token, in seconds.
    pub first_token_p95: Option<f64>,
    /// Failures over answers, a ratio.
    pub errors: Option<f64>,
    /// Healthy endpoints, and all.
    pub endpoints: Option<(u64, u64)>,
}

impl PlanReport {
    /// The plan of a report. `last`: the last record of the history.
    pub fn of(report: &Report, topology: &Topology, last: Option<&PlanRecord>) -> Self {
        let mut placements = Vec::new();
        for (gateway, zones) in &report.placements {
            for (zone, models) in zones {
                for (model, placement) in models {
                    let choice = topology.choice(zone, model, gateway);
                    let first = choice.map_or(gateway, |(first, _)| first);
                    let place = (gateway, zone, model);
                    placements.push(placement_report(report, place, first, placement));
                }
            }
        }
        let regions = report.regions.iter();
        let pools = regions.clone().flat_map(|(region, of)| {
            let pools = of.pools.iter();
            pools.map(move |(model, pool)| pool_report(region, model, pool))
        });
        let data = regions.map(|(region, of)| (region.clone(), of.data.clone()));
        Self {
            at: report.at,
            number: last.map(|last| last.number),
            since: last.map(|last| last.at),
            revision: report.replicas.as_ref().map(|replicas| replicas.revision),
            placements,
            pools: pools.collect(),
            data: data.collect(),
        }
    }
}

fn placement_report(
    report: &Report,
    (gateway, zone, model): (&RegionName, &ZoneName, &ModelName),
    first: &RegionName,
    placement: &Placement,
) -> PlacementReport {
    let pools = report.regions.get(first).map(|region| &region.pools);
    let pool = pools.and_then(|pools| pools.get(model));
    PlacementReport {
        gateway: gateway.clone(),
        zone: zone.clone(),
        model: model.clone(),
        first: first.clone(),
        share: placement.into(),
        since: placement.step.map(|step| step.at),
        utilization_then: placement.step.map(|step| step.utilization),
        utilization_expected: placement.step.map(|step| step.expected),
        utilization: pool.and_then(utilization),
        without_effect: placement.without_effect,
    }
}

fn pool_report(region: &RegionName, model: &ModelName, pool: &PoolReport) -> PoolPlanReport {
    let signals = &pool.signals;
    PoolPlanReport {
        region: region.clone(),
        model: model.clone(),
        health: (&pool.health).into(),
        batch: pool.batch,
        utilization: utilization(pool),
        queue: signals.waiting,
        first_token_p95: signals.first_token_p95,
        errors: signals.error_rate,
        endpoints: signals.endpoints,
    }
}

fn utilization(pool: &PoolReport) -> Option<f64> {
    pool.signals.utilization.map(|utilization| utilization.now)
}
