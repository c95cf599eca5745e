//! What happens, in the order of its times; at the same time in the order in which it was foreseen.

use crate::page::Page;
use crate::router::Load;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

#[derive(Debug)]
pub(super) enum Event {
    /// The next request comes to its gateway.
    Comes,
    /// A gateway learns that an attempt of a request failed at a region.
    Failed { id: usize, region: usize },
    /// A request reaches a region.
    Reaches { id: usize, region: usize },
    /// Passes of a replica end, if they are still those.
    Ends { region: usize, replica: usize },
    /// The first token reaches the gateway.
    First { id: usize },
    /// Once a second: pages are read, routers plan.
    Tick,
    /// Pages arrive at whoever reads them.
    Page(Box<Page>),
    /// Probes are made.
    Probes,
    /// A probe arrives.
    Probe {
        gateway: usize,
        region: usize,
        load: Load,
    },
    /// A fault begins or ends.
    Fault { index: usize, begins: bool },
    /// Health checks find that a region is lost, or that it is back.
    Noticed { index: usize, lost: bool },
}

#[derive(Default)]
pub(super) struct Queue {
    events: BinaryHeap<Reverse<At>>,
    turn: u64,
}

impl Queue {
    pub(super) fn push(&mut self, time: f64, event: Event) {
        self.turn += 1;
        let turn = self.turn;
        self.events.push(Reverse(At { time, turn, event }));
    }

    /// The next event, and its time in seconds.
    pub(super) fn pop(&mut self) -> Option<(f64, Event)> {
        let Reverse(at) = self.events.pop()?;
        Some((at.time, at.event))
    }
}

struct At {
    time: f64,
    turn: u64,
    event: Event,
}

impl PartialEq for At {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for At {}
impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for At {
    fn cmp(&self, other: &Self) -> Ordering {
        self.time
            .total_cmp(&other.time)
            .then(self.turn.cmp(&other.turn))
    }
}
