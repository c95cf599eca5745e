//! What one worker thread of Envoy keeps: its state, its streams, the labels of its metrics.

use crate::abi::Ptr;
use crate::config::Config;
use crate::metrics::Metric;
use crate::ticks::Carrier;
use hashbrown::HashMap;
use meridian_filter_core::plugins::router::MOST_STREAMS;
use meridian_filter_core::worker::Worker;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::mem;
use std::sync::Arc;

/// The streams of a worker.
#[derive(Default)]
struct Streams {
    /// The last stream's number.
    last: u32,
    filters: HashMap<u32, Ptr>,
    /// Those of connections to this Envoy, with their configurations.
    downstream: BTreeMap<u32, (Ptr, Arc<Config>)>,
    carrier: Carrier,
    /// Attempts, by the streams of their requests and their own: what `hooks` has of them.
    attempts: BTreeMap<(u32, u32), *const c_void>,
}

thread_local! {
    /// Of all plugins but the egress.
    static REQUESTS: RefCell<Worker> = RefCell::default();
    static EGRESS: RefCell<Worker> = RefCell::default();
    static STREAMS: RefCell<Streams> = RefCell::default();
    static METRICS: RefCell<Metrics> = RefCell::default();
}

/// The metrics of a worker, by its numbers of them, and what its counters have got that Envoy was not told yet.
#[derive(Default)]
struct Metrics {
    all: Vec<(Arc<Metric>, u64)>,
    /// The numbers of counters that have got something.
    changed: Vec<u32>,
}

impl Metrics {
    fn get(&mut self, id: u32) -> Option<&mut (Arc<Metric>, u64)> {
        self.all.get_mut(usize::try_from(id).ok()?)
    }
}

/// Calls with the state that a plugin shares with others of its thread.
pub fn with<R>(config: &Config, call: impl FnOnce(&mut Worker) -> R) -> R {
    let worker = if config.is_egress() {
        &EGRESS
    } else {
        &REQUESTS
    };
    worker.with_borrow_mut(call)
}

/// A stream begins. Its number.
pub fn begin(filter: Ptr, config: &Arc<Config>) -> u32 {
    STREAMS.with_borrow_mut(|streams| {
        while {
            streams.last = (streams.last + 1) & MOST_STREAMS;
            streams.filters.contains_key(&streams.last)
        } {}
        streams.filters.insert(streams.last, filter);
        if config.is_downstream() {
            streams
                .downstream
                .insert(streams.last, (filter, config.clone()));
            streams.carrier.begin(streams.last, filter);
        }
        streams.last
    })
}

/// A stream is over.
pub fn end(stream: u32) {
    STREAMS.with_borrow_mut(|streams| {
        streams.filters.remove(&stream);
        streams.downstream.remove(&stream);
        let newest = streams.downstream.last_key_value();
        let newest = newest.map(|(stream, (filter, _))| (*stream, *filter));
        streams.carrier.end(stream, newest);
    });
}

/// The filter of a stream; `None` if it is over.
pub fn filter_of(stream: u32) -> Option<Ptr> {
    STREAMS.with_borrow(|streams| streams.filters.get(&stream).copied())
}

/// The same, if it is of a connection to this Envoy.
pub fn downstream_filter_of(stream: u32) -> Option<Ptr> {
    STREAMS.with_borrow(|streams| Some(streams.downstream.get(&stream)?.0))
}

/// A stream is an attempt of a request.
pub fn attempt_begins(request: u32, stream: u32, filter: *const c_void) {
    STREAMS.with_borrow_mut(|streams| streams.attempts.insert((request, stream), filter));
}

/// An attempt is over.
pub fn attempt_ends(request: u32, stream: u32) {
    STREAMS.with_borrow_mut(|streams| streams.attempts.remove(&(request, stream)));
}

/// The attempts of a request that are not over.
pub fn attempts_of(request: u32) -> Vec<*const c_void> {
    STREAMS.with_borrow(|streams| {
        let attempts = streams.attempts.range((request, 0)..=(request, u32::MAX));
        attempts.map(|(_, filter)| *filter).collect()
    })
}

/// The streams that are not over, and the attempts that are known as those of a request.
#[allow(dead_code)] // For the module of a test.
pub fn streams() -> (usize, usize) {
    STREAMS.with_borrow(|streams| (streams.filters.len(), streams.attempts.len()))
}

/// The newest stream of a connection to this Envoy, with its configuration.
pub fn newest_downstream() -> Option<(Ptr, Arc<Config>)> {
    STREAMS.with_borrow(|streams| {
        let (_, newest) = streams.downstream.last_key_value()?;
        Some(newest.clone())
    })
}

/// Whether the worker is to tick now.
pub fn is_due() -> bool {
    STREAMS.with_borrow_mut(|streams| streams.carrier.is_due())
}

/// Whether a stream is the only one of a connection to this Envoy.
pub fn is_last_downstream(stream: u32) -> bool {
    STREAMS.with_borrow(|streams| {
        streams.downstream.len() == 1 && streams.downstream.contains_key(&stream)
    })
}

/// Whether the process has run since the worker's last tick. To be asked once a tick.
pub fn has_run() -> bool {
    STREAMS.with_borrow_mut(|streams| streams.carrier.has_run())
}

/// This worker's number of a metric by its whole name.
pub fn define_metric(name: &str) -> Option<u32> {
    let metric = Metric::named(name)?;
    METRICS.with_borrow_mut(|metrics| {
        metrics.all.push((metric, 0));
        u32::try_from(metrics.all.len() - 1).ok()
    })
}

/// The metric of a number.
pub fn metric(id: u32) -> Option<Arc<Metric>> {
    METRICS.with_borrow_mut(|metrics| Some(metrics.get(id)?.0.clone()))
}

/// A counter gets more, which Envoy is told later: to find a counter by its labels takes Envoy as long as many other things together.
pub fn count(id: u32, value: u64) {
    METRICS.with_borrow_mut(|metrics| {
        let Some((_, waiting)) = metrics.get(id).filter(|_| value > 0) else {
            return;
        };
        let is_first = *waiting == 0;
        *waiting = waiting.saturating_add(value);
        if is_first {
            metrics.changed.push(id);
        }
    });
}

/// What counters have got that Envoy was not told yet.
pub fn take_counts() -> Vec<(Arc<Metric>, u64)> {
    METRICS.with_borrow_mut(|metrics| {
        let changed = mem::take(&mut metrics.changed);
        let counts = changed.into_iter().filter_map(|id| {
            let (metric, waiting) = metrics.get(id)?;
            Some((metric.clone(), mem::take(waiting)))
        });
        counts.collect()
    })
}
