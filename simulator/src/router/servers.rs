//! Meridian within a region: its gateway picks the server by what it has sent there.

use super::{Answered, Ask, Pick, Router, Shares, Verdict};
use crate::case::{Case, Request};
use crate::page::Page;
use meridian_filter_core::slots::{InFlight, SlotRequest, SlotTable};
use meridian_policy::pool_policy::Balance;
use std::collections::BTreeMap;

/// Between regions as a way that picks no servers goes, within one as Meridian does.
pub struct OwnServers<R> {
    between: R,
    /// What each gateway knows of its own region's servers, and how many there are.
    slots: Vec<(SlotTable, usize)>,
    /// Requests at each region's servers.
    at_servers: Vec<BTreeMap<usize, InFlight>>,
}

/// Bytes of a prompt of so many tokens: four each, in the mean, and up to a quarter more or less.
fn bytes(tokens: u64, random: u64) -> u64 {
    tokens * (300 + random % 201) / 100
}

/// A number that looks random.
fn hash(id: u64) -> u64 {
    let mixed = (id ^ (id >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

impl<R> OwnServers<R> {
    pub fn new(case: &Case, between: R) -> Self {
        let slots = case.regions.iter();
        Self {
            between,
            slots: slots
                .map(|site| (SlotTable::default(), site.replicas))
                .collect(),
            at_servers: vec![BTreeMap::new(); case.regions.len()],
        }
    }
}

impl<R: Router> Router for OwnServers<R> {
    fn route(&mut self, ask: &Ask<'_>) -> Verdict {
        match self.between.route(ask) {
            Verdict::Go { order, .. } => Verdict::Go {
                order,
                pick: Pick::AtArrival,
            },
            Verdict::Hold => Verdict::Hold,
        }
    }

    fn replica(&mut self, region: usize, id: usize, request: &Request) -> Option<usize> {
        let (slots, count) = &mut self.slots[region];
        let random = hash(id as u64);
        let slot = slots.pick(SlotRequest {
            balance: Balance::LeastLoad,
            affinity_slot: 0,
            random,
            now_ms: 0,
        });
        // Maglev gives each server as many slots.
        let replica = usize::from(slot) % *count;
        let address = replica.to_string();
        slots.learn(slot, &address);
        let begun = slots.begin(&address, bytes(request.prompt, random));
        self.at_servers[region].insert(id, begun);
        Some(replica)
    }

    fn begun(&mut self, region: usize, id: usize) {
        if let Some(begun) = self.at_servers[region].get_mut(&id) {
            self.slots[region].0.first_token(begun);
        }
    }

    fn ended(&mut self, region: usize, id: usize) {
        if let Some(begun) = self.at_servers[region].remove(&id) {
            self.slots[region].0.end(begun);
        }
    }

    fn page(&mut self, page: &Page, now: f64) {
        self.between.page(page, now);
    }

    fn endpoints(&mut self, region: usize, healthy: usize, all: usize) {
        self.between.endpoints(region, healthy, all);
    }

    fn answered(&mut self, answered: &Answered, now: f64) {
        self.between.answered(answered, now);
    }

    fn tick(&mut self, now: f64) {
        self.between.tick(now);
    }

    fn shares(&self) -> Option<&Shares> {
        self.between.shares()
    }
}
