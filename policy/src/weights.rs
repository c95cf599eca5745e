//! Weights of regions, as routes have them: whole numbers with one sum.

use crate::name::RegionName;
use std::collections::BTreeMap;

/// The sum of a placement's weights.
pub const TOTAL_WEIGHT: u32 = 100;

/// Weights in proportion to these parts, none of them nothing; what rounding leaves goes to the largest. Of nothing there are none.
pub(crate) fn whole<'r>(
    parts: impl IntoIterator<Item = (&'r RegionName, f64)>,
) -> BTreeMap<RegionName, u32> {
    let parts: Vec<(&RegionName, f64)> = parts.into_iter().collect();
    let sum: f64 = parts.iter().map(|(_, part)| part).sum();
    let whole = |part: f64| (part / sum * f64::from(TOTAL_WEIGHT)).round() as u32;
    let mut weights: BTreeMap<RegionName, u32> = parts
        .into_iter()
        .map(|(region, part)| (region.clone(), whole(part)))
        .filter(|(_, weight)| *weight > 0)
        .collect();
    let given: u32 = weights.values().sum();
    if let Some(largest) = weights.values_mut().max() {
        *largest = (*largest + TOTAL_WEIGHT).saturating_sub(given);
    }
    weights
}
