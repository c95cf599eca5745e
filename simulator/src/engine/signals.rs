//! Metrics pages and probes.

use super::Engine;
use super::event::Event;
use crate::metrics::MetricsPage;
use crate::router::ProbeResult;
use crate::topology::SCRAPE_INTERVAL;
use meridian_planner::signal::Figures;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// Delay from a scrape to the routers, in seconds.
const SCRAPE_DELAY: std::ops::Range<f64> = 0.05..0.2;
/// Relative standard deviation of the noise on load gauges.
const NOISE: f64 = 0.03;
/// Seconds between two probes.
const PROBE_INTERVAL: f64 = 0.1;

impl Engine<'_> {
    /// True metrics of a region's servers.
    pub(super) fn metrics(&mut self, region: usize) -> Vec<Figures> {
        let servers = self.servers[region].iter_mut();
        let counters = &mut self.regions[region].counters;
        let pages = servers.zip(counters);
        pages
            .map(|(server, counters)| counters.page(server))
            .collect()
    }

    /// Metrics of a region's servers with noise on the load gauges.
    fn noisy_metrics(&mut self, region: usize) -> Vec<Figures> {
        let mut pages = self.metrics(region);
        for page in &mut pages {
            for value in [&mut page.running, &mut page.waiting, &mut page.kv_cache] {
                let noise: f64 = StandardNormal.sample(&mut self.noise);
                *value = value.map(|value| (value * (1.0 + NOISE * noise)).max(0.0));
            }
        }
        pages
    }

    /// Reports endpoint health, scrapes the regions that are due, and runs the router's planning.
    pub(super) fn second(&mut self) {
        self.seconds += 1;
        for region in 0..self.case.regions.len() {
            let all = self.servers[region].len();
            let healthy = if self.regions[region].is_known_down {
                0
            } else {
                all
            };
            self.router.on_endpoints(region, healthy, all);
            let is_due = (self.seconds + region).is_multiple_of(SCRAPE_INTERVAL);
            if self.regions[region].is_down || !is_due {
                continue;
            }
            let metrics = self.noisy_metrics(region);
            let false_metrics = self.regions[region].false_metrics.clone();
            let page = MetricsPage {
                region,
                at: self.now,
                servers: false_metrics.unwrap_or(metrics),
            };
            let arrives = self.now + self.noise.random_range(SCRAPE_DELAY);
            self.queue.push(arrives, Event::Metrics(Box::new(page)));
        }
        self.router.on_second(self.now);
        self.queue.push(self.now + 1.0, Event::Second);
    }

    /// Sends a probe from every gateway to every region.
    pub(super) fn send_probes(&mut self) {
        let count = self.case.regions.len();
        for region in 0..count {
            let servers = self.servers[region].iter();
            let servers = servers.map(|server| (server.waiting(), server.requests()));
            let result = if self.regions[region].is_down {
                ProbeResult::default()
            } else {
                ProbeResult {
                    servers: servers.collect(),
                }
            };
            for gateway in 0..count {
                let arrives = self.now + self.one_way(gateway, region);
                let result = result.clone();
                self.queue.push(
                    arrives,
                    Event::Probe {
                        gateway,
                        region,
                        result,
                    },
                );
            }
        }
        self.queue
            .push(self.now + PROBE_INTERVAL, Event::SendProbes);
    }
}
