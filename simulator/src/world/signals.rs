//! What routers are told besides the answers to their own requests: pages of metrics and probes.

use super::World;
use super::event::Event;
use crate::page::Page;
use crate::router::Load;
use crate::topology::PAGE_EVERY;
use meridian_planner::signal::Figures;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// Pages of metrics are so long on their way, in seconds: at least, and at most.
const PAGE_DELAY: std::ops::Range<f64> = 0.05..0.2;
/// What they say of load is off by so much, one time with another: a part of it, as a standard deviation.
const NOISE: f64 = 0.03;
/// Seconds between two probes.
const PROBE_EVERY: f64 = 0.1;

impl World<'_> {
    /// What a region's replicas would say now, were they honest.
    pub(super) fn pages(&mut self, region: usize) -> Vec<Figures> {
        let replicas = self.replicas[region].iter_mut();
        let counters = &mut self.regions[region].counters;
        let pages = replicas.zip(counters);
        pages
            .map(|(replica, counters)| counters.page(replica))
            .collect()
    }

    /// What they say: not quite that.
    fn noisy_pages(&mut self, region: usize) -> Vec<Figures> {
        let mut pages = self.pages(region);
        for page in &mut pages {
            for value in [&mut page.running, &mut page.waiting, &mut page.kv_cache] {
                let off: f64 = StandardNormal.sample(&mut self.noise);
                *value = value.map(|value| (value * (1.0 + NOISE * off)).max(0.0));
            }
        }
        pages
    }

    pub(super) fn tick(&mut self) {
        self.ticks += 1;
        for region in 0..self.case.regions.len() {
            let all = self.replicas[region].len();
            let healthy = if self.regions[region].known_lost {
                0
            } else {
                all
            };
            self.router.endpoints(region, healthy, all);
            let is_read = (self.ticks + region).is_multiple_of(PAGE_EVERY);
            if self.regions[region].lost || !is_read {
                continue;
            }
            let honest = self.noisy_pages(region);
            let page = Page {
                region,
                at: self.now,
                replicas: self.regions[region].says.clone().unwrap_or(honest),
            };
            let arrives = self.now + self.noise.random_range(PAGE_DELAY);
            self.queue.push(arrives, Event::Page(Box::new(page)));
        }
        self.router.tick(self.now);
        self.queue.push(self.now + 1.0, Event::Tick);
    }

    pub(super) fn probe(&mut self) {
        let count = self.case.regions.len();
        for region in 0..count {
            let replicas = self.replicas[region].iter();
            let replicas = replicas.map(|replica| (replica.waiting(), replica.requests()));
            let load = if self.regions[region].lost {
                Load::default()
            } else {
                Load {
                    replicas: replicas.collect(),
                }
            };
            for gateway in 0..count {
                let arrives = self.now + self.one_way(gateway, region);
                self.queue.push(
                    arrives,
                    Event::Probe {
                        gateway,
                        region,
                        load: load.clone(),
                    },
                );
            }
        }
        self.queue.push(self.now + PROBE_EVERY, Event::Probes);
    }

    /// Those that a gateway holds back ask again: of each zone in their order, until one must go on waiting.
    pub(super) fn release(&mut self, gateway: usize) {
        for zone in self.case.fleet.zones.keys() {
            let key = (gateway, zone.clone());
            while let Some(id) = self.held.get(&key).and_then(|held| held.front().copied()) {
                if !self.ask(id) {
                    break;
                }
                if let Some(held) = self.held.get_mut(&key) {
                    held.pop_front();
                }
            }
        }
    }
}
