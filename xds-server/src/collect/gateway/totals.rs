//! Histograms, added up: an Envoy tells only what came since it told last.

use meridian_policy::signal::{Histogram, Millis};
use meridian_policy::{ModelName, RegionName};
use std::collections::BTreeMap;

/// Gateways that are remembered; past it the one that was silent longest is forgotten.
const MOST_GATEWAYS: usize = 1024;

/// What one gateway's histograms amount to, by model and the region asked.
pub(super) type Total = BTreeMap<(ModelName, RegionName), Histogram>;

/// What every gateway's histograms amount to, over all its streams.
#[derive(Debug, Default)]
pub(super) struct Totals(BTreeMap<(RegionName, String), (Millis, Total)>);

impl Totals {
    /// One gateway's.
    pub(super) fn of(&mut self, region: &RegionName, source: &str, now: Millis) -> &mut Total {
        let key = (region.clone(), source.to_owned());
        if self.0.len() >= MOST_GATEWAYS && !self.0.contains_key(&key) {
            let oldest = self.0.iter().min_by_key(|(_, (seen, _))| *seen);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.0.remove(&oldest);
            }
        }
        let (seen, total) = self.0.entry(key).or_default();
        *seen = now;
        total
    }
}

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
