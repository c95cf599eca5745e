//! Selective pushing, as SkyWalker does it: a gateway probes its own replicas and the other gateways ten times a second. A
//! request stays at home while a replica there has nobody waiting, else it goes to the nearest region that has such a
//! replica, else it is held back at its gateway until one has. In its region it goes to the replica that has the least
//! waiting by the probe before, with what was pushed to it since.

use super::interface::{Ask, Load, Pick, Router, Verdict};
use crate::case::{Case, Request};
use std::collections::BTreeMap;

pub struct QueuePush {
    /// By gateway and region: replicas at which nobody waits, and what was pushed since the probe said so.
    free: BTreeMap<(usize, usize), (usize, usize)>,
    /// By region, of its own gateway's last probe: who waits at each replica, and all, with what was pushed since.
    replicas: Vec<Vec<(usize, usize)>>,
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
            replicas: case
                .regions
                .iter()
                .map(|site| vec![(0, 0); site.replicas])
                .collect(),
        }
    }
}

impl Router for QueuePush {
    fn route(&mut self, ask: &Ask<'_>) -> Verdict {
        for region in ask.allowed {
            let free = self.free.get_mut(&(ask.request.home, *region));
            if let Some((free, pushed)) = free
                && *pushed < *free
            {
                *pushed += 1;
                let others = ask.allowed.iter().copied();
                let others = others.filter(|other| other != region);
                return Verdict::Go {
                    order: std::iter::once(*region).chain(others).collect(),
                    pick: Pick::AtArrival,
                };
            }
        }
        Verdict::Hold
    }

    fn probe(&mut self, gateway: usize, region: usize, load: &Load) {
        let free = load.replicas.iter().filter(|(waiting, _)| *waiting == 0);
        self.free.insert((gateway, region), (free.count(), 0));
        if gateway == region && !load.replicas.is_empty() {
            self.replicas[region].clone_from(&load.replicas);
        }
    }

    fn replica(&mut self, region: usize, _: usize, _: &Request) -> Option<usize> {
        let replicas = self.replicas[region].iter_mut().enumerate();
        let (index, (waiting, all)) = replicas.min_by_key(|(_, load)| **load)?;
        // Whether it waits there is not known before the next probe: it counts as if it did.
        *waiting += 1;
        *all += 1;
        Some(index)
    }
}
