//! PostgreSQL: replication lag, from the exporter of a replica.

use crate::collect::page::{MetricType, Page, Sample};
use crate::collect::refused::RefusalReason;
use crate::collect::refused::Refusals;
use crate::collect::samples::samples_of_type;
use crate::collect::value::{self, MOST_SECONDS};
use meridian_planner::signal::Reading;

const LAG: &str = "pg_replication_lag_seconds";
const IS_REPLICA: &str = "pg_replication_is_replica";

pub(super) const KNOWN: &[&str] = &[LAG];

/// The largest lag of the page.
pub(super) fn read(page: &Page<'_>, refusals: &mut Refusals) -> Vec<Reading> {
    let roles = samples_of_type(page, IS_REPLICA, MetricType::Gauge, refusals);
    let mut largest: Option<f64> = None;
    for sample in samples_of_type(page, LAG, MetricType::Gauge, refusals) {
        let primary = roles
            .iter()
            .any(|role| role.value == 0.0 && role.same_labels(sample));
        let lag = lag(sample, primary);
        if let Some(lag) = refusals.accept(LAG, lag, sample) {
            largest = Some(largest.map_or(lag, |other| other.max(lag)));
        }
    }
    largest
        .map(|seconds| Reading::ReplicationLag { seconds })
        .into_iter()
        .collect()
}

/// A primary has no lag, whatever its page says.
fn lag(sample: &Sample<'_>, primary: bool) -> Result<f64, RefusalReason> {
    if primary {
        return Ok(0.0);
    }
    value::amount(sample.value, MOST_SECONDS)
}
