//! SkyWalker's selective pushing. A gateway probes its own servers and the other gateways ten times a second. A request goes to
//! the nearest region that has a server with an empty queue. Without one, the request waits at its gateway. In a region it goes
//! to the server with the fewest queued requests, counted by the last probe and what was sent since.

use super::interface::{Decision, ProbeResult, RouteQuery, Router, ServerPick};
use crate::case::{Case, Request};
use std::collections::BTreeMap;

/// Router of [`Strategy::QueuePush`](crate::strategy::Strategy::QueuePush).
pub struct QueuePush {
    /// By gateway and region: servers with an empty queue, and requests sent since that probe.
    free: BTreeMap<(usize, usize), (usize, usize)>,
    /// By region: queued requests and all requests of each server, by its gateway's last probe and what was sent since.
    servers: Vec<Vec<(usize, usize)>>,
}

impl QueuePush {
    pub fn new(case: &Case) -> Self {
        let regions = 0..case.regions.len();
        let pairs = regions
            .clone()
            .flat_map(|home| regions.clone().map(move |region| (home, region)));
        Self {
            free: pairs
                .map(|pair| (pair, (case.regions[pair.1].replicas, 0)))
                .collect(),
            servers: case
                .regions
                .iter()
                .map(|region| vec![(0, 0); region.replicas])
                .collect(),
        }
    }
}

impl Router for QueuePush {
    fn route(&mut self, query: &RouteQuery<'_>) -> Decision {
        for region in query.candidates {
            let free = self.free.get_mut(&(query.request.home, *region));
            if let Some((free, sent)) = free
                && *sent < *free
            {
                *sent += 1;
                let others = query.candidates.iter().copied();
                let others = others.filter(|other| other != region);
                return Decision::Send {
                    regions: std::iter::once(*region).chain(others).collect(),
                    pick: ServerPick::OnArrival,
                };
            }
        }
        Decision::Hold
    }

    fn on_probe(&mut self, gateway: usize, region: usize, result: &ProbeResult) {
        let free = result.servers.iter().filter(|(queued, _)| *queued == 0);
        self.free.insert((gateway, region), (free.count(), 0));
        if gateway == region && !result.servers.is_empty() {
            self.servers[region].clone_from(&result.servers);
        }
    }

    fn pick_server(&mut self, region: usize, _: usize, _: &Request) -> Option<usize> {
        let servers = self.servers[region].iter_mut().enumerate();
        let (index, (queued, all)) = servers.min_by_key(|(_, load)| **load)?;
        // The next probe tells whether the request queues. Until then it counts as queued.
        *queued += 1;
        *all += 1;
        Some(index)
    }
}
