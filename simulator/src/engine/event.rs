//! Events, sorted by time. Events at the same time keep the order of insertion.

use crate::metrics::MetricsPage;
use crate::router::ProbeResult;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

#[derive(Debug)]
pub(super) enum Event {
    /// The next request arrives at its gateway.
    Arrival,
    /// A request arrives at a region.
    AttemptArrival { id: usize, region: usize },
    /// A gateway learns that an attempt failed.
    AttemptFailed { id: usize, region: usize },
    /// Forward passes of a server end, unless an arrival has shortened them.
    PassesEnd { region: usize, server: usize },
    /// The first token of a request arrives at its gateway.
    FirstToken { id: usize },
    /// A second has passed: metrics are scraped, routers plan.
    Second,
    /// A metrics page arrives at the routers.
    Metrics(Box<MetricsPage>),
    /// All gateways send probes.
    SendProbes,
    /// A probe's answer arrives at a gateway.
    Probe {
        gateway: usize,
        region: usize,
        result: ProbeResult,
    },
    /// A fault begins or ends.
    Fault { index: usize, begins: bool },
    /// Health checks detect that the regions of a fault are down, or up again.
    HealthChange { index: usize, is_down: bool },
}

#[derive(Default)]
pub(super) struct Queue {
    events: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
}

impl Queue {
    /// Adds an event at a time in seconds.
    pub(super) fn push(&mut self, time: f64, event: Event) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.events.push(Reverse(Entry {
            time,
            sequence,
            event,
        }));
    }

    /// Removes the next event; returns it with its time in seconds.
    pub(super) fn pop(&mut self) -> Option<(f64, Event)> {
        let Reverse(entry) = self.events.pop()?;
        Some((entry.time, entry.event))
    }
}

struct Entry {
    time: f64,
    sequence: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.time
            .total_cmp(&other.time)
            .then(self.sequence.cmp(&other.sequence))
    }
}
