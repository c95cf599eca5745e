//! Adds up histograms: Envoy sends only the values since the last flush.

use meridian_planner::signal::Histogram;
use meridian_policy::{ModelName, RegionName};
use std::collections::BTreeMap;

/// The totals of one stream's histograms, by model and target region.
pub(super) type Total = BTreeMap<(ModelName, RegionName), Histogram>;

/// Adds the new values. Starts again if the buckets have changed.
pub(super) fn add(total: &mut Histogram, since: &Histogram) {
    let bounds =
        |histogram: &Histogram| histogram.buckets.iter().map(|it| it.0).collect::<Vec<_>>();
    if bounds(total) != bounds(since) {
        *total = since.clone();
        return;
    }
    for (bucket, more) in total.buckets.iter_mut().zip(&since.buckets) {
        bucket.1 += more.1;
    }
    total.sum += since.sum;
    total.count += since.count;
}
