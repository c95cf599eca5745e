//! The regions: requests get a server, and servers run forward passes.

use super::Engine;
use super::event::Event;
use crate::replica::TokenEvent;
use crate::router::ServerPick;
use rand::RngExt;

impl Engine<'_> {
    /// A request arrives at a region.
    pub(super) fn attempt_arrival(&mut self, id: usize, region: usize) {
        if self.regions[region].is_down {
            self.fail_attempt(id, region);
            return;
        }
        let server = self.pick_server(id, region);
        self.in_flight[id].arrived = self.now;
        let request = &self.case.requests[id];
        self.servers[region][server].enqueue(id, request.prompt, request.output, self.now);
        self.start_passes(region, server);
    }

    /// The server for a request. Without a valid pick by the router it is a random one of those with the fewest requests.
    fn pick_server(&mut self, id: usize, region: usize) -> usize {
        let count = self.servers[region].len();
        let picked = match self.in_flight[id].pick {
            ServerPick::Server(server) => Some(server),
            ServerPick::OnArrival => self.router.pick_server(region, id, &self.case.requests[id]),
            ServerPick::LeastRequest => None,
        };
        if let Some(picked) = picked.filter(|picked| *picked < count) {
            return picked;
        }
        let requests = |server: usize| self.servers[region][server].requests();
        let fewest = (0..count).map(requests).min().unwrap_or_default();
        let best: Vec<usize> = (0..count)
            .filter(|server| requests(*server) == fewest)
            .collect();
        best[self.random.random_range(0..best.len())]
    }

    fn start_passes(&mut self, region: usize, server: usize) {
        let now = self.now;
        let state = &mut self.servers[region][server];
        state.start_passes(now);
        if let Some(end) = state.passes_end() {
            self.queue
                .push(end.max(now), Event::PassesEnd { region, server });
        }
    }

    /// Ends a server's forward passes and starts the next ones.
    pub(super) fn passes_end(&mut self, region: usize, server: usize) {
        let state = &mut self.servers[region][server];
        // The event is stale if an arrival has shortened the passes.
        let end = state.passes_end();
        if end.is_none_or(|end| (end - self.now).abs() > 1e-9) {
            return;
        }
        for event in state.finish_passes() {
            let id = event.id();
            let request = &self.case.requests[id];
            let at_gateway = self.now + self.one_way(request.home, region);
            let counters = &mut self.regions[region].counters[server];
            match event {
                TokenEvent::First(_) => {
                    counters.record_first_token(self.now - self.in_flight[id].arrived);
                    self.results[id].record_first_token(region, request, at_gateway);
                    self.in_flight[id].has_first_token = true;
                    self.router.on_first_token(region, id);
                    self.queue.push(at_gateway, Event::FirstToken { id });
                }
                TokenEvent::Last(_) => {
                    counters.record_response();
                    self.router.on_end(region, id);
                    self.results[id].record_end(request, at_gateway);
                    self.unfinished -= 1;
                }
            }
        }
        self.start_passes(region, server);
    }
}
