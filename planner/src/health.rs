//! Health of a pool, judged from its signals.

mod reason;

pub use reason::{CLEAR_FRACTION, Reason};

use crate::signal::Millis;
use crate::state::PoolSignals;
use meridian_policy::fleet::Fleet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;
use utoipa::ToSchema;

/// Error rate above which a pool is down, whatever its health checks report: half of all responses.
pub(crate) const DOWN_ERROR_RATE: f64 = 0.5;

/// Time for which a pool with errors stays unhealthy while it has too little traffic to judge. Its low traffic may be a
/// result of shedding. Late first tokens are not remembered: gateways handle slow requests one by one.
const ERROR_MEMORY: Duration = Duration::from_secs(300);
/// Resolution of a recorded failure time. The coarse value keeps plans equal while nothing is decided.
const FAILURE_TIME_RESOLUTION: Duration = Duration::from_secs(60);

/// Health of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// It is out of service: no other region sends requests to it.
    pub down: bool,
    /// Reasons for being unhealthy. Without `down` the pool serves, and sheds to regions with headroom.
    pub reasons: BTreeSet<Reason>,
    /// With [`Reason::Errors`]: the time of the last observed failure, or up to [`FAILURE_TIME_RESOLUTION`] before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Millis>,
}

impl Health {
    /// Judges a pool. `before` is its previous health.
    pub fn of(fleet: &Fleet, signals: &PoolSignals, before: &Self, now: Millis) -> Self {
        let mut reasons = past_limits(fleet, signals, before);
        let failed = before.failed_since(signals, &reasons, now);
        if failed.is_some() {
            reasons.insert(Reason::Errors);
        }
        if signals.stale {
            reasons.insert(Reason::Stale);
        }
        let had_no_endpoints = before.reasons.contains(&Reason::NoEndpoints);
        let no_endpoints = matches!(signals.endpoints, Some((0, total)) if total > 0);
        // A lost gateway stops reporting endpoints. The reason stays until endpoints are reported again.
        if no_endpoints || (had_no_endpoints && signals.endpoints.is_none()) {
            reasons.insert(Reason::NoEndpoints);
        }
        let was_drained = before.reasons.contains(&Reason::Drained);
        let was_broken = before.down && !had_no_endpoints && !was_drained;
        let limit = if was_broken {
            DOWN_ERROR_RATE * CLEAR_FRACTION
        } else {
            DOWN_ERROR_RATE
        };
        let is_broken = match signals.error_rate {
            Some(rate) => rate > limit,
            None => was_broken && reasons.contains(&Reason::Errors),
        };
        Self {
            down: no_endpoints || is_broken,
            reasons,
            failed,
        }
    }

    /// Time of the last observed failure, at [`FAILURE_TIME_RESOLUTION`]; `None` if the pool does not fail. A failing
    /// pool with too little traffic to judge keeps failing for [`ERROR_MEMORY`].
    fn failed_since(
        &self,
        signals: &PoolSignals,
        reasons: &BTreeSet<Reason>,
        now: Millis,
    ) -> Option<Millis> {
        let last = if reasons.contains(&Reason::Errors) {
            now
        } else if signals.error_rate.is_none() && self.reasons.contains(&Reason::Errors) {
            let breach = signals.last_breach.get(&Reason::Errors).copied();
            let last = self.failed.max(breach)?;
            Some(last).filter(|last| now.since(*last) < ERROR_MEMORY)?
        } else {
            return None;
        };
        Some(match self.failed {
            Some(noted) if last.since(noted) < FAILURE_TIME_RESOLUTION => noted,
            _ => last,
        })
    }

    /// Whether the pool serves, as far as is known. A pool without endpoints whose gateway fell silent may serve again.
    /// Envoy's health checks then decide, and the pool keeps its position in the chain.
    pub fn serves(&self) -> bool {
        !self.down && !self.reasons.contains(&Reason::NoEndpoints)
    }

    /// Whether the pool sheds interactive traffic. A silent pool keeps its current traffic: overload may be why its
    /// metrics are missing.
    pub fn sheds(&self) -> bool {
        self.sheds_for().next().is_some()
    }

    /// The reasons for which it sheds.
    pub fn sheds_for(&self) -> impl Iterator<Item = Reason> {
        let all = self.reasons.iter().copied();
        all.filter(|reason| !matches!(reason, Reason::Stale | Reason::NoEndpoints))
    }

    /// Whether other regions may overflow to this pool.
    pub fn takes_more(&self) -> bool {
        !self.down && self.reasons.iter().all(|reason| *reason == Reason::Stale)
    }
}

/// The value of the signal that a reason is about, if it is known, and its limit; `None` for a reason of another kind.
pub(crate) fn measured(
    fleet: &Fleet,
    signals: &PoolSignals,
    reason: Reason,
) -> Option<(Option<f64>, f64)> {
    let limits = &fleet.unhealthy;
    match reason {
        Reason::QueueDepth => Some((signals.waiting, f64::from(limits.queue_depth))),
        Reason::FirstToken => Some((
            signals.first_token_p95,
            limits.first_token_p95.as_secs_f64(),
        )),
        Reason::Errors => Some((signals.error_rate, limits.error_rate)),
        Reason::ReplicationLag => Some((
            signals.replication_lag,
            limits.replication_lag.as_secs_f64(),
        )),
        Reason::NoEndpoints | Reason::Stale | Reason::Drained => None,
    }
}

/// The reasons whose signals exceed their limits. A present reason clears only below [`CLEAR_FRACTION`] times its limit.
fn past_limits(fleet: &Fleet, signals: &PoolSignals, before: &Health) -> BTreeSet<Reason> {
    let is_past = |reason: &Reason| {
        let (value, limit) = measured(fleet, signals, *reason)?;
        let limit = if before.reasons.contains(reason) {
            limit * CLEAR_FRACTION
        } else {
            limit
        };
        value.map(|value| value > limit)
    };
    let past = Reason::ALL.into_iter();
    let past = past.filter(|reason| is_past(reason) == Some(true));
    let mut reasons: BTreeSet<Reason> = past.collect();
    // Silence of the source does not reduce the lag.
    if signals.lag_is_silent && before.reasons.contains(&Reason::ReplicationLag) {
        reasons.insert(Reason::ReplicationLag);
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_fixtures::fleets::example;

    const NOW: Millis = Millis(1_000_000);

    fn judged(signals: PoolSignals, before: &Health) -> Vec<Reason> {
        Health::of(&example(), &signals, before, NOW)
            .reasons
            .into_iter()
            .collect()
    }

    #[test]
    fn each_signal_has_its_reason_and_clears_only_well_below_its_limit() {
        let healthy = Health::default();
        let signals = || PoolSignals::default();
        let cases = [
            (
                Reason::QueueDepth,
                PoolSignals {
                    waiting: Some(101.0),
                    ..signals()
                },
                PoolSignals {
                    waiting: Some(90.0),
                    ..signals()
                },
            ),
            (
                Reason::FirstToken,
                PoolSignals {
                    first_token_p95: Some(3.1),
                    ..signals()
                },
                PoolSignals {
                    first_token_p95: Some(2.9),
                    ..signals()
                },
            ),
            (
                Reason::Errors,
                PoolSignals {
                    error_rate: Some(0.02),
                    ..signals()
                },
                PoolSignals {
                    error_rate: Some(0.009),
                    ..signals()
                },
            ),
            (
                Reason::ReplicationLag,
                PoolSignals {
                    replication_lag: Some(31.0),
                    ..signals()
                },
                PoolSignals {
                    replication_lag: Some(25.0),
                    ..signals()
                },
            ),
        ];
        for (reason, above, near) in cases {
            assert_eq!(judged(above.clone(), &healthy), [reason]);
            assert_eq!(
                judged(near.clone(), &healthy),
                [],
                "{reason:?} below its limit"
            );
            let unhealthy = Health::of(&example(), &above, &healthy, NOW);
            assert!(unhealthy.sheds() && !unhealthy.takes_more() && !unhealthy.down);
            assert_eq!(
                judged(near, &unhealthy),
                [reason],
                "not clear of its limit yet"
            );
            // A failing pool without traffic still counts as failing.
            let after = |age| Health::of(&example(), &signals(), &unhealthy, Millis(NOW.0 + age));
            let is_remembered = reason == Reason::Errors;
            assert_eq!(after(100_000).reasons.contains(&reason), is_remembered);
            assert_eq!(after(400_000), Health::default());
        }
    }

    #[test]
    fn a_pool_without_endpoints_or_with_a_high_error_rate_is_down() {
        let healthy = Health::default();
        let dead = PoolSignals {
            endpoints: Some((0, 2)),
            ..Default::default()
        };
        let dead = Health::of(&example(), &dead, &healthy, NOW);
        assert!(
            dead.down && !dead.takes_more() && !dead.sheds(),
            "Envoy skips the pool without shedding"
        );
        let broken = PoolSignals {
            error_rate: Some(0.6),
            ..Default::default()
        };
        let broken = Health::of(&example(), &broken, &healthy, NOW);
        assert!(broken.down && broken.sheds());
        let better = PoolSignals {
            error_rate: Some(0.45),
            ..Default::default()
        };
        assert!(Health::of(&example(), &better, &broken, NOW).down);
        assert!(!Health::of(&example(), &better, &healthy, NOW).down);
    }

    #[test]
    fn a_down_pool_that_falls_silent_stays_in_the_chain_without_overflow() {
        let signals = |endpoints| PoolSignals {
            endpoints,
            ..Default::default()
        };
        let of =
            |endpoints, before: &Health| Health::of(&example(), &signals(endpoints), before, NOW);
        let dead = of(Some((0, 2)), &Health::default());
        let silent = of(None, &dead);
        assert!(!silent.down && !silent.serves() && !silent.takes_more() && !silent.sheds());
        assert_eq!(of(None, &silent), silent);
        assert_eq!(of(Some((1, 2)), &silent), Health::default());
        assert!(of(None, &Health::default()).serves());
    }

    #[test]
    fn repeated_failures_change_health_at_most_once_a_minute() {
        let broken = PoolSignals {
            error_rate: Some(0.6),
            ..Default::default()
        };
        let rare = PoolSignals {
            last_breach: [(Reason::Errors, Millis(NOW.0 + 290_000))].into(),
            ..Default::default()
        };
        let of = |signals, before: &Health, age| {
            Health::of(&example(), signals, before, Millis(NOW.0 + age))
        };
        let first = of(&broken, &Health::default(), 0);
        assert_eq!(of(&broken, &first, 59_000), first);
        assert_ne!(of(&broken, &first, 60_000), first);
        // A recent failure renews the error memory.
        let later = of(&rare, &first, 299_000);
        assert!(later.down && later.sheds());
        assert!(of(&rare, &later, 580_000).down);
        assert_eq!(of(&rare, &later, 600_000), Health::default());
    }

    #[test]
    fn replication_lag_persists_while_its_source_is_silent() {
        let of = |replication_lag, lag_is_silent, before: &Health| {
            let signals = PoolSignals {
                replication_lag,
                lag_is_silent,
                ..Default::default()
            };
            Health::of(&example(), &signals, before, NOW)
        };
        let behind = of(Some(600.0), false, &Health::default());
        assert_eq!(of(None, true, &behind), behind);
        assert_eq!(
            of(None, false, &behind),
            Health::default(),
            "the source was removed"
        );
        assert_eq!(of(Some(1.0), false, &behind), Health::default());
        assert_eq!(of(None, true, &Health::default()), Health::default());
    }

    #[test]
    fn a_silent_pool_neither_sheds_nor_goes_down() {
        let silent = PoolSignals {
            stale: true,
            ..Default::default()
        };
        let silent = Health::of(&example(), &silent, &Health::default(), NOW);
        assert!(!silent.sheds() && silent.takes_more() && !silent.down);
        assert_eq!(
            silent.reasons.into_iter().collect::<Vec<_>>(),
            [Reason::Stale]
        );
    }
}
