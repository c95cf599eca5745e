//! The region with the least requests per replica, by the pages of metrics that were read last.

use super::interface::{Ask, Router, Verdict, first};
use crate::case::Case;
use crate::page::Page;

pub struct LeastLoad {
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
    fn route(&mut self, ask: &Ask<'_>) -> Verdict {
        let least = ask
            .allowed
            .iter()
            .min_by(|one, other| self.load[**one].total_cmp(&self.load[**other]));
        first(least.copied().unwrap_or(ask.allowed[0]), ask.allowed)
    }

    fn page(&mut self, page: &Page, _now: f64) {
        let each = page.replicas.iter().map(|figures| {
            figures.running.unwrap_or_default() + figures.waiting.unwrap_or_default()
        });
        self.load[page.region] = each.sum::<f64>() / page.replicas.len().max(1) as f64;
    }
}
