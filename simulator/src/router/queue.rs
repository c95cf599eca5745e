//! Selective pushing, as SkyWalker does it: a gateway probes its own replicas and the other gateways ten times a second. A
//! request stays at home while a replica there has nobody waiting, else it goes to the nearest region that has such a
//! replica, else it is held back at its gateway until one has.

use super::{Ask, Load, Router, Verdict, first};
use crate::case::Case;
use std::collections::BTreeMap;

pub struct QueuePush {
    /// By gateway and region: replicas that may be pushed to, less what was pushed since the probe.
    free: BTreeMap<(usize, usize), (f64, f64)>,
}

/// What may be pushed to a free replica between two probes.
const PUSHES: f64 = 1.0;

impl QueuePush {
    pub fn new(case: &Case) -> Self {
        let regions = 0..case.regions.len();
        let pairs = regions
            .clone()
            .flat_map(|home| regions.clone().map(move |region| (home, region)));
        Self {
            free: pairs
                .map(|pair| (pair, (case.regions[pair.1].replicas as f64, 0.0)))
                .collect(),
        }
    }
}

impl Router for QueuePush {
    fn route(&mut self, ask: &Ask<'_>) -> Verdict {
        for region in ask.allowed {
            let free = self.free.get_mut(&(ask.request.home, *region));
            if let Some((free, pushed)) = free
                && *pushed < *free * PUSHES
            {
                *pushed += 1.0;
                return first(*region, ask.allowed);
            }
        }
        Verdict::Hold
    }

    fn probe(&mut self, gateway: usize, region: usize, load: Load) {
        self.free.insert((gateway, region), (load.free as f64, 0.0));
    }
}
