//! Milvus: replication lag, from its built-in change data capture or from the separate CDC tool.

use crate::collect::page::{MetricType, Page};
use crate::collect::refused::Refusals;
use crate::collect::samples::samples_of_type;
use crate::collect::value::{self, MOST_SECONDS};
use meridian_planner::signal::Reading;
use std::collections::BTreeMap;

/// The times of the last write and of the last replicated write, in Unix seconds, by channel.
const BUILT_IN: (&str, &str) = (
    "milvus_wal_last_confirmed_time_tick",
    "milvus_cdc_last_replicated_time_tick",
);
/// The same metrics of the CDC tool, in milliseconds, although its help text says otherwise.
const TOOL: (&str, &str) = ("milvus_cdc_center_tt", "milvus_cdc_replicate_tt");

pub(super) const KNOWN: &[&str] = &[BUILT_IN.1, TOOL.1];

/// The largest lag of the page.
pub(super) fn read(page: &Page<'_>, refusals: &mut Refusals) -> Vec<Reading> {
    let built_in = lag(page, BUILT_IN, 1.0, refusals);
    let tool = lag(page, TOOL, 1e-3, refusals);
    let largest = built_in.into_iter().chain(tool).reduce(f64::max);
    largest
        .map(|seconds| Reading::ReplicationLag { seconds })
        .into_iter()
        .collect()
}

/// The largest lag of any channel: the newest write minus the newest replicated write.
fn lag(
    page: &Page<'_>,
    (written, replicated): (&'static str, &'static str),
    unit: f64,
    refusals: &mut Refusals,
) -> Option<f64> {
    let mut newest: BTreeMap<&str, f64> = BTreeMap::new();
    for sample in samples_of_type(page, written, MetricType::Gauge, refusals) {
        let tick = newest
            .entry(sample.label("channel_name").unwrap_or_default())
            .or_default();
        *tick = tick.max(sample.value * unit);
    }
    let mut largest: Option<f64> = None;
    for sample in samples_of_type(page, replicated, MetricType::Gauge, refusals) {
        // The tool also reports what it has read.
        if sample
            .label("op_type")
            .is_some_and(|operation| operation != "write")
        {
            continue;
        }
        let name = sample
            .label("channel_name")
            .or_else(|| sample.label("vchannel_name"));
        let Some(newest) = newest.get(name.unwrap_or_default()) else {
            continue;
        };
        let behind = (newest - sample.value * unit).max(0.0);
        let behind = if sample.value.is_finite() {
            behind
        } else {
            sample.value
        };
        let behind = value::amount(behind, MOST_SECONDS);
        if let Some(behind) = refusals.accept(replicated, behind, sample) {
            largest = Some(largest.map_or(behind, |other| other.max(behind)));
        }
    }
    largest
}
