//! Prices and budgets of fallbacks.

use super::Check;
use crate::fleet::raw::{RawFallback, RawPrice, RawProvider};
use meridian_planner::chain::gateways_of;
use meridian_policy::Fleet;
use meridian_policy::egress_policy::{Budget, Price};

/// Billionths of a dollar per dollar.
const NANO: f64 = 1e9;
/// Billionths of a dollar per token at a price of one dollar per million tokens.
const NANO_PER_TOKEN: f64 = NANO / 1e6;
/// Largest price or budget, in dollars, against typing errors.
const MOST_DOLLARS: f64 = 1e6;

/// Largest budget, in requests per minute.
const MOST_REQUESTS: u64 = 1_000_000_000;

impl Check {
    pub(super) fn budget(&mut self, at: &str, raw: &RawFallback) -> Budget {
        let usd = raw.budget.max_usd_per_hour;
        let at_requests = format!("{at}.budget.max_requests_per_minute");
        self.at_most(
            &at_requests,
            raw.budget.max_requests_per_minute,
            MOST_REQUESTS,
        );
        let at_usd = format!("{at}.budget.max_usd_per_hour");
        if usd.is_some() && raw.provider == RawProvider::OpenaiCompatible {
            let message = "cannot be enforced: not every response of such a provider reports its tokens; use `max_requests_per_minute`";
            self.problem(at_usd, message);
        } else if usd.is_some() && raw.price.is_none() {
            let message = "has no effect without prices; add `price: { input: 3, output: 15 }`, dollars for a million tokens";
            self.problem(at_usd, message);
        } else if usd.is_some_and(|usd| !(usd > 0.0 && usd <= MOST_DOLLARS)) {
            let message = format!("must be more than 0, and not above {MOST_DOLLARS}");
            self.problem(at_usd, message);
        }
        Budget {
            requests: raw.budget.max_requests_per_minute,
            nanousd: usd.map(|usd| (usd * NANO) as u64),
        }
    }

    pub(super) fn price(&mut self, at: &str, raw: Option<&RawPrice>) -> Option<Price> {
        let raw = raw?;
        let mut each = |field: &str, usd: f64| {
            if !(0.0..=MOST_DOLLARS).contains(&usd) {
                let message = format!(
                    "must be dollars for a million tokens, 0 to {MOST_DOLLARS}; write what the provider's price list says"
                );
                self.problem(format!("{at}.price.{field}"), message);
            }
            (usd * NANO_PER_TOKEN).round() as u64
        };
        Some(Price {
            input: each("input", raw.input),
            cache_read: each("cache_read", raw.cache_read.unwrap_or(raw.input)),
            cache_write: each("cache_write", raw.cache_write.unwrap_or(2.0 * raw.input)),
            output: each("output", raw.output),
        })
    }

    /// A budget is divided among the gateways: a part below one request would block the fallback.
    pub(super) fn budgets_are_parted(&mut self, fleet: &Fleet) {
        for (name, fallback) in &fleet.fallbacks {
            let gateways = gateways_of(fleet, name);
            let requests = fallback.budget.requests;
            if requests.is_some_and(|requests| requests < gateways) {
                let message = format!(
                    "is shared equally by {gateways} gateways, and leaves each without a request; write at least {gateways}"
                );
                self.problem(
                    format!("fallbacks.{name}.budget.max_requests_per_minute"),
                    message,
                );
            }
        }
    }
}
