//! Thresholds at which a region sheds load or counts as unhealthy.

use super::{Check, field};
use crate::fleet::raw::{RawFailover, RawOverflow, RawUnhealthy};
use meridian_policy::fleet::{Failover, Overflow, Unhealthy};
use std::time::Duration;

/// Largest `queue_depth`, in requests.
const DEEPEST_QUEUE: u64 = 1_000_000_000;

impl Check {
    pub(super) fn overflow(&mut self, raw: RawOverflow) -> Overflow {
        let at = "policy.overflow";
        let default = Overflow::default();
        let above = self.ratio(&format!("{at}.above"), raw.above, default.above);
        // Defaults adapt to given values.
        let fitting = ((above * 100.0).round() - 10.0).max(above * 50.0) / 100.0;
        let back_below = self.ratio(&format!("{at}.back_below"), raw.back_below, fitting);
        let floor = self.ratio(&format!("{at}.floor"), raw.floor, default.floor);
        if back_below >= above {
            let message = format!(
                "{back_below} is not below `above` ({above}): load would come and go; leave a gap of 0.05 or more"
            );
            self.problem(format!("{at}.back_below"), message);
        }
        Overflow {
            above,
            back_below,
            floor,
            queue_wait: self.time(
                &format!("{at}.queue_wait"),
                raw.queue_wait,
                default.queue_wait,
            ),
            gpu: raw.gpu,
            regions: self.region_count(&format!("{at}.regions"), raw.regions, default.regions),
        }
    }

    /// `at`: the place of the failover.
    pub(super) fn failover(&mut self, at: &str, raw: &RawFailover) -> Failover {
        let default = Failover::default().regions;
        Failover {
            regions: self.region_count(&format!("{at}.regions"), raw.regions, default),
        }
    }

    /// A number of regions, at least one.
    fn region_count(&mut self, at: &str, value: Option<u32>, default: usize) -> usize {
        if value == Some(0) {
            let message = format!("0 regions can serve nobody; write 1 or more, e.g. {default}");
            self.problem(at, message);
        }
        value.map_or(default, |value| usize::try_from(value).unwrap_or(default))
    }

    pub(super) fn unhealthy(&mut self, raw: RawUnhealthy) -> Unhealthy {
        let at = |field: &str| format!("policy.unhealthy.{field}");
        let default = Unhealthy::default();
        self.at_most(&at("queue_depth"), raw.queue_depth, DEEPEST_QUEUE);
        Unhealthy {
            queue_depth: raw.queue_depth.unwrap_or(default.queue_depth),
            first_token_p95: self.time(
                &at("first_token_p95"),
                raw.first_token_p95,
                default.first_token_p95,
            ),
            error_rate: self.ratio(&at("error_rate"), raw.error_rate, default.error_rate),
            replication_lag: self.time(
                &at("replication_lag"),
                raw.replication_lag,
                default.replication_lag,
            ),
            signal_ttl: self.time(&at("signal_ttl"), raw.signal_ttl, default.signal_ttl),
        }
    }

    /// A ratio between 0 and 1, both excluded.
    fn ratio(&mut self, at: &str, value: Option<f64>, default: f64) -> f64 {
        let value = value.unwrap_or(default);
        // NaN is outside of every range.
        if !(value > 0.0 && value < 1.0) {
            let message = format!("{value} is not above 0 and below 1; write e.g. {default}");
            self.problem(at, message);
            return default;
        }
        value
    }

    fn time(&mut self, at: &str, text: Option<String>, default: Duration) -> Duration {
        match text {
            Some(text) => self.at(at, field::duration(&text)).unwrap_or(default),
            None => default,
        }
    }
}
