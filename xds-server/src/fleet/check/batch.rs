//! Batch requests: API keys of batch callers, and the prices of regions.

use super::{Check, listed, region_at};
use meridian_policy::Fleet;
use std::collections::BTreeSet;

/// Highest price of a region, in any unit: products with it stay finite.
const HIGHEST_PRICE: f64 = 1e9;

impl Check {
    /// Parses digests of API keys. The keys themselves never appear in the file.
    pub(super) fn batch_keys(&mut self, raw: Vec<String>) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        for (index, key) in raw.into_iter().enumerate() {
            let digits = |key: &str| key.bytes().all(|byte| byte.is_ascii_hexdigit());
            if key.len() != 64 || !digits(&key) {
                let message = "is no SHA-256 of an API key; write the 64 digits that `printf %s KEY | sha256sum` prints, never the key";
                self.problem(format!("policy.batch.keys[{index}]"), message);
            }
            keys.insert(key.to_ascii_lowercase());
        }
        keys
    }

    pub(super) fn region_price(&mut self, at: &str, price: Option<f64>) -> Option<f64> {
        let price = price?;
        if !(0.0..=HIGHEST_PRICE).contains(&price) {
            self.problem(
                at,
                format!("{price} is not a price; write 0 or more, at most {HIGHEST_PRICE}"),
            );
        }
        Some(price)
    }

    /// Prices are compared with each other, so either all regions have one or none.
    pub(super) fn prices_compare(&mut self, fleet: &Fleet) {
        let serving = || fleet.regions.iter().filter(|(_, of)| !of.pools.is_empty());
        let without: Vec<_> = serving()
            .filter(|(_, region)| region.price.is_none())
            .map(|(name, _)| name)
            .collect();
        if without.len() == serving().count() {
            return;
        }
        if let Some(first) = without.first() {
            let message = format!(
                "other regions have a price and these have none: {}; give all of them one",
                listed(&without)
            );
            self.problem(format!("{}.price", region_at(first)), message);
        }
    }
}
