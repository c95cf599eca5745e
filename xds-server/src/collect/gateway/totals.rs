//! Histograms, added up: an Envoy tells only what came since it told last.

use meridian_planner::signal::Histogram;
use meridian_policy::{ModelName, RegionName};
use std::collections::BTreeMap;

/// What the histograms of one stream amount to, by model and the region asked.
pub(super) type Total = BTreeMap<(ModelName, RegionName), Histogram>;

/// Adds what came since; begins anew if the buckets are not those from before.
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
