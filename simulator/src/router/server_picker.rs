//! Meridian's choice of a server within a region: the region's gateway picks by what it has sent to each server.

use super::interface::{AttemptResult, Decision, HomeShares, RouteQuery, Router, ServerPick};
use crate::case::{Case, Request};
use crate::metrics::MetricsPage;
use meridian_filter_core::slots::{InFlight, SlotRequest, SlotTable};
use meridian_policy::pool_policy::Balance;
use std::collections::BTreeMap;

/// Picks servers as Meridian does, and leaves the choice of a region to another router.
pub struct ServerPicker<R> {
    region_router: R,
    /// Slot map and number of servers, by region.
    slots: Vec<(SlotTable, usize)>,
    /// Requests in progress, by region and request index.
    in_progress: Vec<BTreeMap<usize, InFlight>>,
}

/// Size of a prompt in bytes: four bytes per token on average, with a deviation of up to a quarter.
fn bytes(tokens: u64, random: u64) -> u64 {
    tokens * (300 + random % 201) / 100
}

/// A uniformly distributed hash of a request index (the finalizer of SplitMix64).
fn hash(id: u64) -> u64 {
    let mixed = (id ^ (id >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

impl<R> ServerPicker<R> {
    pub fn new(case: &Case, region_router: R) -> Self {
        let slots = case.regions.iter();
        Self {
            region_router,
            slots: slots
                .map(|region| (SlotTable::default(), region.replicas))
                .collect(),
            in_progress: vec![BTreeMap::new(); case.regions.len()],
        }
    }
}

impl<R: Router> Router for ServerPicker<R> {
    fn route(&mut self, query: &RouteQuery<'_>) -> Decision {
        match self.region_router.route(query) {
            Decision::Send { regions, .. } => Decision::Send {
                regions,
                pick: ServerPick::OnArrival,
            },
            Decision::Hold => Decision::Hold,
        }
    }

    fn pick_server(&mut self, region: usize, id: usize, request: &Request) -> Option<usize> {
        let (slots, count) = &mut self.slots[region];
        let random = hash(id as u64);
        let slot = slots.pick(SlotRequest {
            balance: Balance::LeastLoad,
            affinity_slot: 0,
            random,
            now_ms: 0,
        });
        // Maglev gives every server the same number of slots.
        let server = usize::from(slot) % *count;
        let address = server.to_string();
        slots.learn(slot, &address, 0);
        let begun = slots.begin(&address, bytes(request.prompt, random), 0);
        self.in_progress[region].insert(id, begun);
        Some(server)
    }

    fn on_first_token(&mut self, region: usize, id: usize) {
        if let Some(begun) = self.in_progress[region].get_mut(&id) {
            self.slots[region].0.first_token(begun);
        }
    }

    fn on_end(&mut self, region: usize, id: usize) {
        if let Some(begun) = self.in_progress[region].remove(&id) {
            self.slots[region].0.end(begun);
        }
    }

    fn on_metrics(&mut self, page: &MetricsPage, now: f64) {
        self.region_router.on_metrics(page, now);
    }

    fn on_endpoints(&mut self, region: usize, healthy: usize, all: usize) {
        self.region_router.on_endpoints(region, healthy, all);
    }

    fn on_attempt(&mut self, result: &AttemptResult, now: f64) {
        self.region_router.on_attempt(result, now);
    }

    fn on_second(&mut self, now: f64) {
        self.region_router.on_second(now);
    }

    fn home_shares(&self) -> Option<&HomeShares> {
        self.region_router.home_shares()
    }
}
