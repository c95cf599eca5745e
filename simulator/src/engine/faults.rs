//! Faults: their begin, their end, and their detection by health checks.

use super::Engine;
use crate::case::FaultKind;
use crate::metrics::set_idle;

impl Engine<'_> {
    /// Begins or ends a fault.
    pub(super) fn fault(&mut self, index: usize, begins: bool) {
        let fault = &self.case.faults[index];
        for region in (0..self.case.regions.len()).filter(|region| fault.affects(*region)) {
            match fault.kind {
                FaultKind::Outage => {
                    self.regions[region].is_down = begins;
                    if begins {
                        self.drop_requests(region);
                    }
                }
                FaultKind::Slowdown(factor) => {
                    for server in &mut self.servers[region] {
                        server.slowdown = if begins { factor } else { 1.0 };
                    }
                }
                FaultKind::IdleMetrics if begins => {
                    let mut pages = self.metrics(region);
                    pages.iter_mut().for_each(set_idle);
                    self.regions[region].false_metrics = Some(pages);
                }
                FaultKind::IdleMetrics => self.regions[region].false_metrics = None,
            }
        }
    }

    /// Updates what the gateways' health checks know about a fault's regions.
    pub(super) fn health_change(&mut self, index: usize, is_down: bool) {
        let fault = &self.case.faults[index];
        for (region, state) in self.regions.iter_mut().enumerate() {
            if fault.affects(region) {
                state.is_known_down = is_down;
            }
        }
    }

    /// Drops a region's requests. Those without a first token move to another region; the others fail.
    fn drop_requests(&mut self, region: usize) {
        let servers = self.servers[region].iter_mut();
        let dropped: Vec<usize> = servers.flat_map(|server| server.fail()).collect();
        for id in dropped {
            self.router.on_end(region, id);
            if self.in_flight[id].has_first_token {
                self.results[id].record_cut();
                self.unfinished -= 1;
            } else {
                self.fail_attempt(id, region);
            }
        }
    }
}
