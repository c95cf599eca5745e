//! When a region sheds load, and when it counts as unhealthy.

use super::{Check, field};
use crate::fleet::raw::{RawOverflow, RawUnhealthy};
use meridian_policy::fleet::{Overflow, Unhealthy};
use std::time::Duration;

impl Check {
    pub(super) fn overflow(&mut self, raw: RawOverflow) -> Overflow {
        let at = "policy.overflow";
        let above = self.ratio(&format!("{at}.above"), raw.above, 0.80);
        // What is not said fits what is said.
        let fitting = ((above * 100.0).round() - 10.0).max(above * 50.0) / 100.0;
        let back_below = self.ratio(&format!("{at}.back_below"), raw.back_below, fitting);
        let floor = self.ratio(&format!("{at}.floor"), raw.floor, 0.10);
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
            queue_wait: self.time(&format!("{at}.queue_wait"), raw.queue_wait, 5),
            gpu: raw.gpu,
        }
    }

    pub(super) fn unhealthy(&mut self, raw: RawUnhealthy) -> Unhealthy {
        let at = "policy.unhealthy";
        Unhealthy {
            queue_depth: raw.queue_depth.unwrap_or(100),
            first_token_p95: self.time(&format!("{at}.first_token_p95"), raw.first_token_p95, 3),
            error_rate: self.ratio(&format!("{at}.error_rate"), raw.error_rate, 0.01),
            replication_lag: self.time(&format!("{at}.replication_lag"), raw.replication_lag, 30),
            signal_ttl: self.time(&format!("{at}.signal_ttl"), raw.signal_ttl, 10),
        }
    }

    /// A part of a whole; neither nothing nor all of it makes sense for any of them.
    fn ratio(&mut self, at: &str, value: Option<f64>, default: f64) -> f64 {
        let value = value.unwrap_or(default);
        // Not a number is in no range either.
        if !(value > 0.0 && value < 1.0) {
            let message = format!("{value} is not a part of 1; write e.g. {default}");
            self.problem(at, message);
            return default;
        }
        value
    }

    fn time(&mut self, at: &str, text: Option<String>, default: u64) -> Duration {
        let default = Duration::from_secs(default);
        match text {
            Some(text) => self.at(at, field::duration(&text)).unwrap_or(default),
            None => default,
        }
    }
}
