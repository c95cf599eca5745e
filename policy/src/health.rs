//! How a pool is, from its signals: what makes other regions be asked first.

use crate::fleet::Fleet;
use crate::state::PoolSignals;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// A limit that was passed counts until the signal is this far below it again: no coming and going at the limit.
pub(crate) const CLEAR_OF: f64 = 0.8;

/// Half of all answers failing is a region that does not work, whatever its health checks say.
const BROKEN: f64 = 0.5;

/// How a pool is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// It serves nobody: no other region's requests are sent here.
    pub down: bool,
    /// What is wrong with it. Without `down` it serves, and others are asked first as far as they have room.
    pub reasons: BTreeSet<Reason>,
}

/// What is wrong with a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its own gateway has no healthy endpoint.
    NoEndpoints,
    /// Too many of its answers are failures.
    Errors,
    /// Too many requests wait.
    QueueDepth,
    /// The first token takes too long.
    FirstToken,
    /// The region's data store is too far behind.
    ReplicationLag,
    /// Its sources have not been heard lately.
    Stale,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEndpoints => "no healthy endpoint",
            Self::Errors => "errors",
            Self::QueueDepth => "queue",
            Self::FirstToken => "first token",
            Self::ReplicationLag => "replication lag",
            Self::Stale => "stale",
        })
    }
}

impl Health {
    /// Judges a pool. `before` is what was said of it last.
    pub fn of(fleet: &Fleet, signals: &PoolSignals, before: &Self) -> Self {
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
        let mut reasons: BTreeSet<Reason> = BTreeSet::new();
        for (reason, value, limit) in measured {
            let limit = if before.reasons.contains(&reason) {
                limit * CLEAR_OF
            } else {
                limit
            };
            if value.is_some_and(|value| value > limit) {
                reasons.insert(reason);
            }
        }
        if signals.stale {
            reasons.insert(Reason::Stale);
        }
        let no_endpoints = matches!(signals.endpoints, Some((0, total)) if total > 0);
        if no_endpoints {
            reasons.insert(Reason::NoEndpoints);
        }
        let broken = if before.down {
            BROKEN * CLEAR_OF
        } else {
            BROKEN
        };
        let down = no_endpoints || signals.error_rate.is_some_and(|rate| rate > broken);
        Self { down, reasons }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fleets::example;

    fn judged(signals: PoolSignals, before: &Health) -> Vec<Reason> {
        Health::of(&example(), &signals, before)
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
            let sick = Health::of(&example(), &above, &well);
            assert!(sick.sheds() && !sick.takes_more() && !sick.down);
            assert_eq!(judged(near, &sick), [reason], "not clear of its limit yet");
            assert_eq!(judged(signals(), &sick), []);
        }
    }

    #[test]
    fn a_pool_that_serves_nobody_is_down() {
        let well = Health::default();
        let dead = PoolSignals {
            endpoints: Some((0, 2)),
            ..Default::default()
        };
        let dead = Health::of(&example(), &dead, &well);
        assert!(
            dead.down && !dead.takes_more() && !dead.sheds(),
            "the chain goes on by itself"
        );
        let broken = PoolSignals {
            error_rate: Some(0.6),
            ..Default::default()
        };
        let broken = Health::of(&example(), &broken, &well);
        assert!(broken.down && broken.sheds());
        let better = PoolSignals {
            error_rate: Some(0.45),
            ..Default::default()
        };
        assert!(Health::of(&example(), &better, &broken).down);
        assert!(!Health::of(&example(), &better, &well).down);
    }

    #[test]
    fn silence_neither_sheds_nor_closes() {
        let silent = PoolSignals {
            stale: true,
            ..Default::default()
        };
        let silent = Health::of(&example(), &silent, &Health::default());
        assert!(!silent.sheds() && silent.takes_more() && !silent.down);
        assert_eq!(
            silent.reasons.into_iter().collect::<Vec<_>>(),
            [Reason::Stale]
        );
    }
}
