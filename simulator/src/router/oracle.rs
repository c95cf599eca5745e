//! The oracle: a greedy router that sees the true state of all servers and all requests in transit. No real router can.

use super::interface::{Decision, RouteQuery, Router, ServerPick};
use crate::case::Case;

/// Weight of the delay that a request causes for running sequences, relative to its own TTFT. Of the values tried, 0 to 0.3,
/// this one has the highest SLO attainment and the lowest P95 TTFT.
const DELAY_WEIGHT: f64 = 0.03;

/// Router of [`Strategy::Oracle`](crate::strategy::Strategy::Oracle). It sends each request to the server with the lowest cost:
/// the request's own TTFT and the weighted delay of others. It ignores future arrivals, so it is a reference, not a bound.
pub struct Oracle {
    round_trip: Vec<Vec<f64>>,
    /// Requests in transit by region and server: arrival time in seconds, and prompt tokens.
    in_transit: Vec<Vec<Vec<(f64, u64)>>>,
}

impl Oracle {
    pub fn new(case: &Case) -> Self {
        let regions = case.regions.iter();
        Self {
            round_trip: case.round_trip.clone(),
            in_transit: regions
                .map(|region| vec![Vec::new(); region.replicas])
                .collect(),
        }
    }
}

impl Router for Oracle {
    fn route(&mut self, query: &RouteQuery<'_>) -> Decision {
        let prompt = query.request.prompt;
        let mut best = (f64::INFINITY, query.candidates[0], 0);
        for region in query.candidates.iter().copied() {
            let round_trip = self.round_trip[query.request.home][region];
            for (index, server) in query.servers[region].iter().enumerate() {
                let in_transit = &mut self.in_transit[region][index];
                in_transit.retain(|(arrives, _)| *arrives > query.now);
                let tokens = in_transit.iter().map(|(_, prompt)| prompt).sum();
                let own = round_trip + server.first_token_after(prompt, tokens);
                let cost = own + DELAY_WEIGHT * server.prefill_delay_to_others(prompt);
                if cost < best.0 {
                    best = (cost, region, index);
                }
            }
        }
        let (_, region, server) = best;
        let arrives = query.now + self.round_trip[query.request.home][region] / 2.0;
        self.in_transit[region][server].push((arrives, prompt));
        let others = query.candidates.iter().copied();
        let others = others.filter(|other| *other != region);
        Decision::Send {
            regions: std::iter::once(region).chain(others).collect(),
            pick: ServerPick::Server(server),
        }
    }
}
