//! What a person should look at.

use super::{Plan, each_choice};
use crate::signal::Millis;
use crate::state::FleetState;
use meridian_policy::fleet::Fleet;
use meridian_policy::name::RegionName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Something that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Alarm {
    /// The region.
    pub region: RegionName,
    /// What kind of thing is wrong, for alerts.
    #[serde(default)]
    pub kind: AlarmKind,
    /// What is wrong, for people.
    pub message: String,
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// A pool is not healthy: `meridian_pool_unhealthy` has the reasons.
    Unhealthy,
    /// Some of a pool's sources are silent, or no longer tell its load.
    PartlySilent,
    /// GPUs have been busy for a minute.
    GpuBusy,
    /// A fallback says that it answered outside of its jurisdiction.
    Misplaced,
    /// Shedding does not lower utilization.
    WithoutEffect,
    /// What is retrieved is old, and no other database may be read.
    OldData,
    /// Nothing tells how old the data is.
    UnknownLag,
    /// More Envoys are connected than parts of the fallbacks' budgets are for.
    TooManyGateways,
    /// One that only another version of the control plane knows.
    #[default]
    #[serde(other)]
    Other,
}

impl AlarmKind {
    /// All that this version knows.
    pub const ALL: [Self; 8] = [
        Self::Unhealthy,
        Self::PartlySilent,
        Self::GpuBusy,
        Self::Misplaced,
        Self::WithoutEffect,
        Self::OldData,
        Self::UnknownLag,
        Self::TooManyGateways,
    ];

    /// Its name in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unhealthy => "unhealthy",
            Self::PartlySilent => "partly_silent",
            Self::GpuBusy => "gpu_busy",
            Self::Misplaced => "misplaced",
            Self::WithoutEffect => "without_effect",
            Self::OldData => "old_data",
            Self::UnknownLag => "unknown_lag",
            Self::TooManyGateways => "too_many_gateways",
            Self::Other => "other",
        }
    }
}

/// What a person should look at now.
pub fn alarms(fleet: &Fleet, state: &FleetState, plan: &Plan, now: Millis) -> Vec<Alarm> {
    let mut alarms = BTreeSet::new();
    for (name, region) in &fleet.regions {
        for model in region.pools.keys() {
            let mut alarm = |kind: AlarmKind, message: String| {
                alarms.insert(Alarm {
                    region: name.clone(),
                    kind,
                    message,
                });
            };
            if state.gpu_is_hot(fleet, name, now) {
                let message = format!("GPUs busy above {GPU_HOT} for a minute");
                alarm(AlarmKind::GpuBusy, message);
            }
            for reason in plan
                .pools
                .get(name)
                .and_then(|pools| pools.get(model))
                .into_iter()
                .flat_map(|health| &health.reasons)
            {
                alarm(AlarmKind::Unhealthy, format!("{model}: {reason}"));
            }
            if state.pool(fleet, name, model, now).partial {
                let message = format!(
                    "{model}: some of its sources are silent, or no longer tell its load; it takes nobody back"
                );
                alarm(AlarmKind::PartlySilent, message);
            }
        }
    }
    for region in fleet.regions.keys() {
        for (fallback, answers) in state.misplaced(region, now) {
            alarms.insert(Alarm {
                region: region.clone(),
                kind: AlarmKind::Misplaced,
                message: format!(
                    "the fallback {fallback} says that it made {answers} answers outside of its jurisdiction; see the gateway's \
                     log, and take it from the zones that it may not serve"
                ),
            });
        }
    }
    each_choice(fleet, |gateway, zone, model, (first, _)| {
        let placement = plan.placement(gateway, zone, model);
        if placement.is_some_and(|placement| placement.without_effect) {
            alarms.insert(Alarm {
                region: first,
                kind: AlarmKind::WithoutEffect,
                message: format!(
                    "{model}: shedding at {gateway} does not lower its utilization; it goes no further"
                ),
            });
        }
    });
    alarms.into_iter().collect()
}

/// GPUs that are busier than this for a minute are worth a look.
pub const GPU_HOT: f64 = 0.85;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_name() {
        for kind in AlarmKind::ALL {
            assert_eq!(serde_json::json!(kind), kind.label());
        }
    }

    #[test]
    fn what_another_version_says_can_be_read() {
        for alarm in [
            r#"{ "region": "eu", "message": "m" }"#,
            r#"{ "region": "eu", "kind": "flooded", "message": "m" }"#,
        ] {
            let alarm: Alarm = serde_json::from_str(alarm).unwrap();
            assert_eq!(alarm.kind, AlarmKind::Other);
        }
    }
}
