//! The region with the fewest requests per server on the last metrics pages.

use super::interface::{Decision, RouteQuery, Router, prefer};
use crate::case::Case;
use crate::metrics::MetricsPage;

/// Router of [`Strategy::LeastLoad`](crate::strategy::Strategy::LeastLoad).
pub struct LeastLoad {
    /// Requests per server, by region.
    load: Vec<f64>,
}

impl LeastLoad {
    pub fn new(case: &Case) -> Self {
        Self {
            load: vec![0.0; case.regions.len()],
        }
    }
}

impl Router for LeastLoad {
    fn route(&mut self, query: &RouteQuery<'_>) -> Decision {
        let least = query
            .candidates
            .iter()
            .min_by(|one, other| self.load[**one].total_cmp(&self.load[**other]));
        prefer(
            least.copied().unwrap_or(query.candidates[0]),
            query.candidates,
        )
    }

    fn on_metrics(&mut self, page: &MetricsPage, _now: f64) {
        let each = page.servers.iter().map(|figures| {
            figures.running.unwrap_or_default() + figures.waiting.unwrap_or_default()
        });
        self.load[page.region] = each.sum::<f64>() / page.servers.len().max(1) as f64;
    }
}
