//! How a pool is, from its signals: what makes other regions be asked first.

mod reason;

pub use reason::{CLEAR_OF, Reason};

use crate::signal::Millis;
use crate::state::PoolSignals;
use meridian_policy::fleet::Fleet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// Half of all answers failing is a region that does not work, whatever its health checks say.
const BROKEN: f64 = 0.5;

/// A pool that fails, and is asked too rarely by now to tell whether it still does, is taken to for so long: it may be asked so rarely
/// for just that. One whose first tokens come late is not: of those the gateways take care themselves, request by request.
const REMEMBERED: Duration = Duration::from_secs(300);
/// When something was seen is not told more exactly, so that a plan rests where nothing is decided.
const COARSE: Duration = Duration::from_secs(60);

/// How a pool is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// It serves nobody: no other region's requests are sent here.
    pub down: bool,
    /// What is wrong with it. Without `down` it serves, and others are asked first as far as they have room.
    pub reasons: BTreeSet<Reason>,
    /// With [`Reason::Errors`]: when it was seen to fail last, or up to [`COARSE`] before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Millis>,
}

impl Health {
    /// Judges a pool. `before` is what was said of it last.
    pub fn of(fleet: &Fleet, signals: &PoolSignals, before: &Self, now: Millis) -> Self {
        let mut reasons = past_limits(fleet, signals, before);
        let failed = before.failed_since(signals, &reasons, now);
        if failed.is_some() {
            reasons.insert(Reason::Errors);
        }
        if signals.stale {
            reasons.insert(Reason::Stale);
        }
        let had_none = before.reasons.contains(&Reason::NoEndpoints);
        let no_endpoints = matches!(signals.endpoints, Some((0, total)) if total > 0);
        // Its gateway was lost with it, and has not reported yet that it serves again.
        if no_endpoints || (had_none && signals.endpoints.is_none()) {
            reasons.insert(Reason::NoEndpoints);
        }
        let was_broken = before.down && !had_none;
        let limit = if was_broken {
            BROKEN * CLEAR_OF
        } else {
            BROKEN
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

    /// When a pool was seen to fail last, in steps of [`COARSE`]; `None` if it does not fail. While it is asked too rarely to tell, it
    /// is taken to fail for [`REMEMBERED`].
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
            Some(last).filter(|last| now.since(*last) < REMEMBERED)?
        } else {
            return None;
        };
        Some(match self.failed {
            Some(noted) if last.since(noted) < COARSE => noted,
            _ => last,
        })
    }

    /// Whether it serves, as far as is known. One whose gateway fell silent while it did not may serve again: then Envoy's own health
    /// checks say so, and it is asked in its turn, and no sooner.
    pub fn serves(&self) -> bool {
        !self.down && !self.reasons.contains(&Reason::NoEndpoints)
    }

    /// Whether its callers are better off elsewhere. A pool that is not heard of keeps what it has: its metrics may be
    /// gone for the very load that is to be kept away from it.
    pub fn sheds(&self) -> bool {
        self.sheds_for().next().is_some()
    }

    /// What makes it shed.
    pub fn sheds_for(&self) -> impl Iterator<Item = Reason> {
        let all = self.reasons.iter().copied();
        all.filter(|reason| !matches!(reason, Reason::Stale | Reason::NoEndpoints))
    }

    /// Whether other regions' callers may be sent here.
    pub fn takes_more(&self) -> bool {
        !self.down && self.reasons.iter().all(|reason| *reason == Reason::Stale)
    }
}

/// The signals that are past their limits. A limit that was passed counts until the signal is well below it.
fn past_limits(fleet: &Fleet, signals: &PoolSignals, before: &Health) -> BTreeSet<Reason> {
    let limits = &fleet.unhealthy;
    let measured = [
        (
            Reason::QueueDepth,
            signals.waiting,
            f64::from(limits.queue_depth),
        ),
        (
            Reason::FirstToken,
            signals.first_token_p95,
            limits.first_token_p95.as_secs_f64(),
        ),
        (Reason::Errors, signals.error_rate, limits.error_rate),
        (
            Reason::ReplicationLag,
            signals.replication_lag,
            limits.replication_lag.as_secs_f64(),
        ),
    ];
    let is_past = |(reason, value, limit): &(Reason, Option<f64>, f64)| {
        let had = before.reasons.contains(reason);
        let limit = if had { limit * CLEAR_OF } else { *limit };
        value.is_some_and(|value| value > limit)
    };
    let past = measured.into_iter().filter(is_past);
    let mut reasons: BTreeSet<Reason> = past.map(|(reason, ..)| reason).collect();
    // Data gets no younger by its source's silence.
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
        let well = Health::default();
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
            assert_eq!(judged(above.clone(), &well), [reason]);
            assert_eq!(
                judged(near.clone(), &well),
                [],
                "{reason:?} below its limit"
            );
            let sick = Health::of(&example(), &above, &well, NOW);
            assert!(sick.sheds() && !sick.takes_more() && !sick.down);
            assert_eq!(judged(near, &sick), [reason], "not clear of its limit yet");
            // Who fails and is not asked has not become better for that.
            let sick_for = |age| Health::of(&example(), &signals(), &sick, Millis(NOW.0 + age));
            let is_remembered = reason == Reason::Errors;
            assert_eq!(sick_for(100_000).reasons.contains(&reason), is_remembered);
            assert_eq!(sick_for(400_000), Health::default());
        }
    }

    #[test]
    fn a_pool_that_serves_nobody_is_down() {
        let well = Health::default();
        let dead = PoolSignals {
            endpoints: Some((0, 2)),
            ..Default::default()
        };
        let dead = Health::of(&example(), &dead, &well, NOW);
        assert!(
            dead.down && !dead.takes_more() && !dead.sheds(),
            "the chain goes on by itself"
        );
        let broken = PoolSignals {
            error_rate: Some(0.6),
            ..Default::default()
        };
        let broken = Health::of(&example(), &broken, &well, NOW);
        assert!(broken.down && broken.sheds());
        let better = PoolSignals {
            error_rate: Some(0.45),
            ..Default::default()
        };
        assert!(Health::of(&example(), &better, &broken, NOW).down);
        assert!(!Health::of(&example(), &better, &well, NOW).down);
    }

    #[test]
    fn what_was_down_and_fell_silent_is_asked_in_its_turn() {
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
    fn what_is_seen_again_and_again_changes_little() {
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
        // One failure of few is a sign that it goes on.
        let later = of(&rare, &first, 299_000);
        assert!(later.down && later.sheds());
        assert!(of(&rare, &later, 580_000).down);
        assert_eq!(of(&rare, &later, 600_000), Health::default());
    }

    #[test]
    fn data_gets_no_younger_by_silence() {
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
            "it has no source any more"
        );
        assert_eq!(of(Some(1.0), false, &behind), Health::default());
        assert_eq!(of(None, true, &Health::default()), Health::default());
    }

    #[test]
    fn silence_neither_sheds_nor_closes() {
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
