//! The gateways: requests are routed, held, attempted region by region, and sent to a fallback.

use super::Engine;
use super::event::Event;
use crate::router::{AttemptResult, Decision, RouteQuery, ServerPick};

impl Engine<'_> {
    /// The next request arrives at its gateway.
    pub(super) fn arrival(&mut self) {
        let id = self.next;
        self.next += 1;
        if let Some(request) = self.case.requests.get(self.next) {
            self.queue.push(request.at, Event::Arrival);
        }
        let request = &self.case.requests[id];
        let key = (request.home, request.zone.clone());
        // Held requests of the same zone go first.
        let others_wait = self.held.get(&key).is_some_and(|held| !held.is_empty());
        if others_wait || !self.route(id) {
            self.held.entry(key).or_default().push_back(id);
        }
    }

    /// Routes a request. Returns `false` if the gateway must hold it.
    fn route(&mut self, id: usize) -> bool {
        let request = &self.case.requests[id];
        let all = &self.candidates[&(request.home, request.zone.clone())];
        let down: Vec<bool> = self
            .regions
            .iter()
            .map(|region| region.is_known_down)
            .collect();
        let up = all.iter().copied().filter(|region| !down[*region]);
        let candidates: Vec<usize> = up.collect();
        if candidates.is_empty() {
            self.fall_back(id);
            return true;
        }
        let decision = self.router.route(&RouteQuery {
            request,
            id,
            candidates: &candidates,
            down: &down,
            servers: &self.servers,
            now: self.now,
        });
        match decision {
            Decision::Send { regions, pick } => {
                self.in_flight[id].regions = regions.into();
                self.in_flight[id].pick = pick;
                self.attempt_next(id);
                true
            }
            Decision::Hold => false,
        }
    }

    /// Sends a request to its next region, or to a fallback if no region is left.
    fn attempt_next(&mut self, id: usize) {
        let home = self.case.requests[id].home;
        while let Some(region) = self.in_flight[id].regions.pop_front() {
            if self.in_flight[id].failed.contains(&region) {
                continue;
            }
            self.residency_violations += u64::from(!self.case.may_use(id, region));
            let time = self.now + self.one_way(home, region);
            self.queue.push(time, Event::AttemptArrival { id, region });
            return;
        }
        self.fall_back(id);
    }

    fn fall_back(&mut self, id: usize) {
        self.results[id].fall_back(&self.case.requests[id], self.now);
        self.unfinished -= 1;
    }

    /// An attempt fails before its first token. Its gateway learns this after the network delay.
    pub(super) fn fail_attempt(&mut self, id: usize, region: usize) {
        let home = self.case.requests[id].home;
        let time = self.now + self.one_way(home, region);
        self.queue.push(time, Event::AttemptFailed { id, region });
    }

    /// A gateway learns that an attempt failed.
    pub(super) fn attempt_failed(&mut self, id: usize, region: usize) {
        self.report(id, region, None);
        self.in_flight[id].failed.push(region);
        // A chosen server belongs to the first region alone.
        if matches!(self.in_flight[id].pick, ServerPick::Server(_)) {
            self.in_flight[id].pick = ServerPick::default();
        }
        self.attempt_next(id);
    }

    /// The first token of a request arrives at its gateway.
    pub(super) fn first_token(&mut self, id: usize) {
        if let Some(region) = self.results[id].region {
            self.report(id, region, self.results[id].ttft);
        }
    }

    /// Reports the result of an attempt to the router.
    fn report(&mut self, id: usize, region: usize, first_token: Option<f64>) {
        let result = AttemptResult {
            id,
            home: self.case.requests[id].home,
            region,
            first_token,
        };
        self.router.on_attempt(&result, self.now);
    }

    /// Routes the requests that a gateway holds: of each zone in order, until one must be held again.
    pub(super) fn release(&mut self, gateway: usize) {
        for zone in self.case.fleet.zones.keys() {
            let key = (gateway, zone.clone());
            while let Some(id) = self.held.get(&key).and_then(|held| held.front().copied()) {
                if !self.route(id) {
                    break;
                }
                if let Some(held) = self.held.get_mut(&key) {
                    held.pop_front();
                }
            }
        }
    }
}
