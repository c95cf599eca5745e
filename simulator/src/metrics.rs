//! Metrics pages of the simulated servers: vLLM's metrics, with vLLM's histogram buckets.

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

/// The metrics of a region's servers, scraped at one time.
#[derive(Clone, Debug)]
pub struct MetricsPage {
    /// Region index.
    pub region: usize,
    /// Time of the scrape, in seconds.
    pub at: f64,
    /// Metrics of each server.
    pub servers: Vec<Figures>,
}

/// A server's counters and histograms.
#[derive(Clone, Debug)]
pub struct Counters {
    queue_time: Histogram,
    first_token: Histogram,
    responses: f64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            queue_time: empty_histogram(&QUEUE_TIME),
            first_token: empty_histogram(&FIRST_TOKEN),
            responses: 0.0,
        }
    }
}

impl Counters {
    /// Records a time to the first token, in seconds.
    pub fn record_first_token(&mut self, seconds: f64) {
        record(&mut self.first_token, seconds);
    }

    /// Counts a completed request.
    pub fn record_response(&mut self) {
        self.responses += 1.0;
    }

    /// The server's metrics page.
    pub fn page(&mut self, server: &mut Replica) -> Figures {
        for seconds in server.queue_times.drain(..) {
            record(&mut self.queue_time, seconds);
        }
        Figures {
            running: Some(server.running() as f64),
            max_running: Some(server.max_running() as f64),
            waiting: Some(server.waiting() as f64),
            kv_cache: Some(server.kv_cache().min(1.0)),
            utilization: None,
            queue_time: Some(self.queue_time.clone()),
            first_token: Some(self.first_token.clone()),
            answers: Some(Answers {
                all: self.responses,
                failed: 0.0,
            }),
        }
    }
}

/// A histogram without values; `bounds` are the upper bounds of its buckets.
pub fn empty_histogram(bounds: &[f64]) -> Histogram {
    Histogram {
        buckets: bounds.iter().map(|bound| (*bound, 0.0)).collect(),
        sum: 0.0,
        count: 0.0,
    }
}

/// Adds a value to a cumulative histogram.
pub fn record(histogram: &mut Histogram, value: f64) {
    for (bound, count) in &mut histogram.buckets {
        if value <= *bound {
            *count += 1.0;
        }
    }
    histogram.sum += value;
    histogram.count += 1.0;
}

/// Sets the gauges to those of an idle server. Counters keep their values.
pub fn set_idle(figures: &mut Figures) {
    figures.running = Some(0.0);
    figures.waiting = Some(0.0);
    figures.kv_cache = Some(0.0);
}
