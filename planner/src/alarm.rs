//! Alarms: conditions that need an operator.

use crate::plan::Plan;
use crate::retrieval::databases;
use crate::schema::Name;
use crate::signal::Millis;
use crate::state::{FleetState, GPU_HOT};
use crate::topology::Topology;
use meridian_policy::fleet::{Fleet, Region};
use meridian_policy::{ModelName, RegionName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A condition that needs an operator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Alarm {
    /// The affected region.
    #[schema(value_type = Name)]
    pub region: RegionName,
    /// Kind of the alarm, for alerting rules.
    #[serde(default)]
    pub kind: AlarmKind,
    /// Description for operators.
    pub message: String,
}

/// Kind of an alarm.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// A pool is unhealthy. `meridian_pool_unhealthy` has the reasons.
    Unhealthy,
    /// Some of a pool's sources are silent, or no longer report its load.
    PartlySilent,
    /// The region's GPUs have been busy for a minute.
    GpuBusy,
    /// A fallback reports answers from outside of its jurisdiction.
    #[serde(rename = "misplaced")]
    JurisdictionViolations,
    /// A pool's DNS name has no address any more, and its servers are in use all the same.
    NameGone,
    /// Servers of a pool do not have its model.
    ModelMissing,
    /// A gateway cannot reach another region's gateway.
    PeerUnreachable,
    /// A gateway refuses requests because parts of its configuration, or of a peer's, are of different fleet files.
    Mismatched,
    /// Shedding does not lower utilization.
    WithoutEffect,
    /// Retrieval returns old data, and no other readable database is fresh.
    OldData,
    /// The age of the data is unknown.
    UnknownLag,
    /// More Envoys are connected than the fallbacks' budgets are split for.
    TooManyGateways,
    /// A certificate of the control plane or a gateway expires within two weeks.
    CertificateExpires,
    /// A kind of another version of the control plane.
    #[default]
    #[serde(other)]
    Other,
}

impl AlarmKind {
    /// All kinds of this version.
    pub const ALL: [Self; 13] = [
        Self::Unhealthy,
        Self::PartlySilent,
        Self::GpuBusy,
        Self::JurisdictionViolations,
        Self::NameGone,
        Self::ModelMissing,
        Self::PeerUnreachable,
        Self::Mismatched,
        Self::WithoutEffect,
        Self::OldData,
        Self::UnknownLag,
        Self::TooManyGateways,
        Self::CertificateExpires,
    ];

    /// The kind's name in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unhealthy => "unhealthy",
            Self::PartlySilent => "partly_silent",
            Self::GpuBusy => "gpu_busy",
            Self::JurisdictionViolations => "misplaced",
            Self::NameGone => "name_gone",
            Self::ModelMissing => "model_missing",
            Self::PeerUnreachable => "peer_unreachable",
            Self::Mismatched => "mismatched",
            Self::WithoutEffect => "without_effect",
            Self::OldData => "old_data",
            Self::UnknownLag => "unknown_lag",
            Self::TooManyGateways => "too_many_gateways",
            Self::CertificateExpires => "certificate_expires",
            Self::Other => "other",
        }
    }
}

/// All current alarms except those on data freshness: pools, GPUs, fallbacks, peers, and shedding without effect.
pub fn alarms(topology: &Topology, state: &FleetState, plan: &Plan, now: Millis) -> Vec<Alarm> {
    let mut alarms = BTreeSet::new();
    for (name, region) in &topology.regions {
        for model in region.pools.keys() {
            alarms.extend(pool_alarms(topology, state, plan, (name, model), now));
        }
        alarms.extend(gpu_alarm(topology, state, name, now));
        alarms.extend(fallback_alarms(state, name, now));
        alarms.extend(peer_alarms(topology, state, name, now));
        alarms.extend(mismatch_alarms(state, name, now));
    }
    alarms.extend(ineffective_shedding(topology, plan));
    alarms.into_iter().collect()
}

/// The alarms of a pool.
fn pool_alarms(
    fleet: &Fleet,
    state: &FleetState,
    plan: &Plan,
    (region, model): (&RegionName, &ModelName),
    now: Millis,
) -> Vec<Alarm> {
    let alarm = |kind: AlarmKind, message: String| Alarm {
        region: region.clone(),
        kind,
        message: format!("{model}: {message}"),
    };
    let health = plan.pools.get(region).and_then(|pools| pools.get(model));
    let reasons = health.into_iter().flat_map(|health| &health.reasons);
    let unhealthy = reasons.map(|reason| alarm(AlarmKind::Unhealthy, reason.to_string()));
    let partial = state.pool(fleet, region, model, now).partial.then(|| {
        let message =
            "some of its sources are silent or no longer report its load; it takes no traffic back";
        alarm(AlarmKind::PartlySilent, message.to_owned())
    });
    let gone = state.name_is_gone(fleet, region, model, now).then(|| {
        let message = "its DNS name has no address any more; the servers that it had stay in use while their health checks pass, \
                       unless `keep_removed` is `false`";
        alarm(AlarmKind::NameGone, message.to_owned())
    });
    let missing = state.lacks_model(region, model, now).then(|| {
        let message = "a server of its pool says that it does not have this model; look at the pool's endpoints and at the model that \
                       they serve";
        alarm(AlarmKind::ModelMissing, message.to_owned())
    });
    let others = partial.into_iter().chain(gone).chain(missing);
    unhealthy.chain(others).collect()
}

/// An alarm if the GPUs of a region with pools have been busy for a minute.
fn gpu_alarm(fleet: &Fleet, state: &FleetState, region: &RegionName, now: Millis) -> Option<Alarm> {
    let has_pools = fleet
        .regions
        .get(region)
        .is_some_and(|region| !region.pools.is_empty());
    (has_pools && state.gpu_is_hot(fleet, region, now)).then(|| Alarm {
        region: region.clone(),
        kind: AlarmKind::GpuBusy,
        message: format!("GPUs busy above {GPU_HOT} for a minute"),
    })
}

/// An alarm for each fallback with answers from outside of its jurisdiction.
fn fallback_alarms(state: &FleetState, region: &RegionName, now: Millis) -> Vec<Alarm> {
    let violations = state.jurisdiction_violations(region, now).into_iter();
    violations
        .map(|(fallback, answers)| Alarm {
            region: region.clone(),
            kind: AlarmKind::JurisdictionViolations,
            message: format!(
                "the fallback {fallback} reports that it made {answers} answers outside of its jurisdiction; see the gateway's \
                 log, and remove it from the zones that it may not serve"
            ),
        })
        .collect()
}

/// An alarm for each peer that a gateway of a region cannot reach.
fn peer_alarms(fleet: &Fleet, state: &FleetState, region: &RegionName, now: Millis) -> Vec<Alarm> {
    let unreachable = state.unreachable_peers(fleet, region, now).into_iter();
    unreachable
        .map(|(peer, gateway, why)| Alarm {
            region: region.clone(),
            kind: AlarmKind::PeerUnreachable,
            message: format!("{gateway} cannot reach the gateway of {peer}: {why}"),
        })
        .collect()
}

/// An alarm for each gateway of a region that refuses requests because parts of a configuration do not fit together.
fn mismatch_alarms(state: &FleetState, region: &RegionName, now: Millis) -> Vec<Alarm> {
    let refusing = state.mismatched(region, now).into_iter();
    refusing
        .map(|gateway| Alarm {
            region: region.clone(),
            kind: AlarmKind::Mismatched,
            message: format!(
                "{gateway} refuses requests: it, or a peer, does not have the rules of a zone that others decide by; look for                  rejected configurations and for gateways that are not connected"
            ),
        })
        .collect()
}

/// An alarm for each placement whose shedding does not lower utilization.
fn ineffective_shedding(topology: &Topology, plan: &Plan) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    topology.each_choice(|(gateway, zone, model), (first, _)| {
        let placement = plan.placement(gateway, zone, model);
        if placement.is_some_and(|placement| placement.without_effect) {
            alarms.push(Alarm {
                region: first.clone(),
                kind: AlarmKind::WithoutEffect,
                message: format!(
                    "{model}: shedding at {gateway} does not lower its utilization; it goes no further"
                ),
            });
        }
    });
    alarms
}

/// Alarms on data freshness: retrieval of old data, and data of unknown age.
pub fn freshness_alarms(fleet: &Fleet, plan: &Plan) -> Vec<Alarm> {
    let freshness = &plan.freshness;
    let stuck = freshness.behind.iter().filter(|home| {
        !databases(fleet, home).is_empty() && freshness.serves(fleet, home) == *home
    });
    let stuck = stuck.map(|home| Alarm {
        region: home.clone(),
        kind: AlarmKind::OldData,
        message: "its vector database is behind, and no other readable database is known to be fresh: retrieval there returns \
                  old data"
            .into(),
    });
    let reports_lag =
        |region: &&RegionName| fleet.regions.get(*region).is_some_and(Region::reports_lag);
    let silent = fleet
        .regions
        .keys()
        .filter(reports_lag)
        .filter(|region| freshness.unknown.contains(*region));
    let silent = silent.map(|region| Alarm {
        region: region.clone(),
        kind: AlarmKind::UnknownLag,
        message: "its sources for replication lag are silent: how old its data is is not known"
            .into(),
    });
    stuck.chain(silent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_the_same_name_in_json_and_metrics() {
        for kind in AlarmKind::ALL {
            assert_eq!(serde_json::json!(kind), kind.label());
        }
    }

    #[test]
    fn alarms_of_other_versions_deserialize() {
        for alarm in [
            r#"{ "region": "eu", "message": "m" }"#,
            r#"{ "region": "eu", "kind": "flooded", "message": "m" }"#,
        ] {
            let alarm: Alarm = serde_json::from_str(alarm).unwrap();
            assert_eq!(alarm.kind, AlarmKind::Other);
        }
    }
}
