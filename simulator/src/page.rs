//! What a region's inference servers say on their pages of metrics: the figures that vLLM has there, cumulative
//! histograms with vLLM's own buckets.

use crate::replica::Replica;
use meridian_planner::signal::{Answers, Figures, Histogram};

/// Buckets of `vllm:request_queue_time_seconds`, in seconds.
const QUEUE_TIME: [f64; 12] = [
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0,
];
/// Buckets of `vllm:time_to_first_token_seconds`, in seconds.
pub const FIRST_TOKEN: [f64; 14] = [
    0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
];

/// The pages of a region, as they were read at one time.
#[derive(Clone, Debug)]
pub struct Page {
    /// The region, by its place.
    pub region: usize,
    /// When it was read, in seconds.
    pub at: f64,
    /// What each replica says.
    pub replicas: Vec<Figures>,
}

/// What a replica has counted.
#[derive(Clone, Debug)]
pub struct Counters {
    queue_time: Histogram,
    first_token: Histogram,
    answers: f64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            queue_time: empty(&QUEUE_TIME),
            first_token: empty(&FIRST_TOKEN),
            answers: 0.0,
        }
    }
}

impl Counters {
    /// A first token, so many seconds after its request came.
    pub fn first_token(&mut self, seconds: f64) {
        note(&mut self.first_token, seconds);
    }

    /// A request is through.
    pub fn answered(&mut self) {
        self.answers += 1.0;
    }

    /// The replica's page.
    pub fn page(&mut self, replica: &mut Replica) -> Figures {
        for wait in replica.waits.drain(..) {
            note(&mut self.queue_time, wait);
        }
        Figures {
            running: Some(replica.running() as f64),
            max_running: Some(replica.max_running() as f64),
            waiting: Some(replica.waiting() as f64),
            kv_cache: Some(replica.kv_cache().min(1.0)),
            utilization: None,
            queue_time: Some(self.queue_time.clone()),
            first_token: Some(self.first_token.clone()),
            answers: Some(Answers {
                all: self.answers,
                failed: 0.0,
            }),
        }
    }
}

/// An empty histogram.
pub fn empty(bounds: &[f64]) -> Histogram {
    Histogram {
        buckets: bounds.iter().map(|bound| (*bound, 0.0)).collect(),
        sum: 0.0,
        count: 0.0,
    }
}

/// Takes a value into a histogram.
pub fn note(histogram: &mut Histogram, value: f64) {
    for (bound, count) in &mut histogram.buckets {
        if value <= *bound {
            *count += 1.0;
        }
    }
    histogram.sum += value;
    histogram.count += 1.0;
}

/// A page of a server that has nothing to do: its gauges at nothing, its counters as they are.
pub fn idle(figures: &mut Figures) {
    figures.running = Some(0.0);
    figures.waiting = Some(0.0);
    figures.kv_cache = Some(0.0);
}
