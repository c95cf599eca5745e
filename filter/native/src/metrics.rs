//! The metrics of all workers. Envoy forgets the value of a metric with the last configuration that has written to it; a new one
//! begins with all that are known, so that none falls back to 0.

use crate::abi::{
    Buffer, Ptr, SUCCESS,
    envoy_dynamic_module_callback_http_filter_config_define_counter as define_counter,
    envoy_dynamic_module_callback_http_filter_config_define_gauge as define_gauge,
    envoy_dynamic_module_callback_http_filter_config_define_histogram as define_histogram,
    envoy_dynamic_module_callback_http_filter_config_increment_counter as add_to_counter,
    envoy_dynamic_module_callback_http_filter_config_increment_gauge as add_to_gauge,
};
use meridian_filter_core::host::MetricKind;
use meridian_filter_core::worker::{FAMILIES, Family};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A metric with its labels.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its place in [`FAMILIES`].
    pub family: usize,
    /// The values of its labels.
    labels: Vec<String>,
}

/// All that any worker has defined.
static KNOWN: Mutex<Vec<Arc<Metric>>> = Mutex::new(Vec::new());

fn known() -> MutexGuard<'static, Vec<Arc<Metric>>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Metric {
    /// The metric of a whole name: `family;label=value;...`, as [`FAMILIES`] has the labels. `None` if there is no such family.
    pub fn named(name: &str) -> Option<Arc<Self>> {
        let mut parts = name.split(';');
        let family = parts.next()?;
        let family = FAMILIES.iter().position(|known| known.name == family)?;
        let labels = parts.map(|label| Some(label.split_once('=')?.1.to_owned()));
        let labels = labels.collect::<Option<_>>()?;
        let metric = Self { family, labels };
        let mut known = known();
        if let Some(known) = known.iter().find(|known| ***known == metric) {
            return Some(known.clone());
        }
        let metric = Arc::new(metric);
        known.push(metric.clone());
        Some(metric)
    }

    /// The values of its labels. They live as long as the metric.
    pub fn labels(&self) -> Vec<Buffer> {
        let labels = self.labels.iter();
        labels.map(|label| Buffer::of(label.as_bytes())).collect()
    }
}

/// Defines all families for a configuration that Envoy makes now, and begins with the metrics that are known. Envoy's ids of the families;
/// `None` for one that it has no room for.
pub fn define_all(config: Ptr) -> Vec<Option<usize>> {
    let ids: Vec<Option<usize>> = FAMILIES
        .iter()
        .map(|family| define(config, family))
        .collect();
    for metric in known().iter() {
        let add = match FAMILIES[metric.family].kind {
            MetricKind::Counter => add_to_counter,
            MetricKind::Gauge => add_to_gauge,
            // What is recorded cannot be nothing. The control plane adds up what it gets of them.
            MetricKind::Histogram => continue,
        };
        if let Some(id) = ids[metric.family] {
            let labels = metric.labels();
            // SAFETY: `config` is what Envoy makes now, on its main thread; the labels live to the end of the call.
            unsafe { add(config, id, labels.as_ptr(), labels.len(), 0) };
        }
    }
    ids
}

fn define(config: Ptr, family: &Family) -> Option<usize> {
    let labels = family.labels.iter();
    let labels: Vec<Buffer> = labels.map(|label| Buffer::of(label.as_bytes())).collect();
    let define = match family.kind {
        MetricKind::Counter => define_counter,
        MetricKind::Gauge => define_gauge,
        MetricKind::Histogram => define_histogram,
    };
    let (name, mut id) = (Buffer::of(family.name.as_bytes()), 0);
    // SAFETY: `config` is what Envoy makes now, on its main thread; names and labels live to the end of the call.
    let result = unsafe { define(config, name, labels.as_ptr(), labels.len(), &raw mut id) };
    (result == SUCCESS).then_some(id)
}
