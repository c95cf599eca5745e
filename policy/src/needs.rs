//! What a caller needs besides an answer, `x-meridian-needs: fresh`, and where such requests go.

use crate::chain::{Member, chain};
use crate::fleet::Fleet;
use crate::headers::NEEDS;
use crate::name::{ModelName, RegionName, ZoneName};
use crate::plan::Plan;
use crate::refusal::Reason;
use crate::weights;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The one need that there is: an answer from a region whose data is not behind.
const FRESH: &str = "fresh";

/// Whether a request needs fresh data, by [`NEEDS`] or by a header that the fleet has for it as well.
///
/// # Errors
/// A need that nobody knows. It cannot be met, and must not be passed over.
pub fn fresh(request: &[(String, String)], as_well: Option<&str>) -> Result<bool, Reason> {
    let says = |name: &str| {
        let mut names = as_well.into_iter().chain([NEEDS]);
        names.any(|known| name.eq_ignore_ascii_case(known))
    };
    let values = request
        .iter()
        .filter(|(name, _)| says(name))
        .flat_map(|(name, values)| values.split(',').map(move |value| (name, value.trim())))
        .filter(|(_, value)| !value.is_empty());
    let mut fresh = false;
    for (name, value) in values {
        if !value.eq_ignore_ascii_case(FRESH) {
            return Err(Reason::UnknownNeed {
                header: name.clone(),
                need: value.to_owned(),
            });
        }
        fresh = true;
    }
    Ok(fresh)
}

/// Which of the regions that may serve a (zone, model) have fresh data, while some have not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fresh {
    /// Whether the region that the home lane leads to has, and serves.
    pub first: bool,
    /// Nothing tells whether it has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub first_unknown: bool,
    /// The others that have, by weight: the fresh lane leads to them.
    #[serde(default)]
    pub others: BTreeMap<RegionName, u32>,
    /// Nothing tells whether any of them has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub others_unknown: bool,
    /// What becomes of those of them that are batch.
    #[serde(default, skip_serializing_if = "FreshBatch::is_default")]
    pub batch: FreshBatch,
}

/// Percent of the batch requests that need fresh data that are served, by where they would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreshBatch {
    /// In the first region: as far as its gate is open.
    pub first: u8,
    /// In the others: no more than any of them lets in.
    pub others: u8,
}

impl Default for FreshBatch {
    fn default() -> Self {
        Self {
            first: 100,
            others: 100,
        }
    }
}

impl FreshBatch {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Fresh {
    /// Those of a (zone, model) at a gateway; `None` where none is known to be behind, or no region serves it.
    pub fn of(
        fleet: &Fleet,
        plan: &Plan,
        zone: &ZoneName,
        model: &ModelName,
        gateway: &RegionName,
    ) -> Option<Self> {
        let members = chain(fleet, zone, model, gateway);
        let mut regions = members.iter().filter_map(Member::region);
        let is_behind = |region: &RegionName| plan.freshness.behind.contains(region);
        let first = regions.next()?;
        let others: Vec<&RegionName> = regions.collect();
        if !is_behind(first) && !others.iter().any(|other| is_behind(other)) {
            return None;
        }
        let is_unknown = |region: &RegionName| plan.freshness.unknown.contains(region);
        let serving = |region: &RegionName| !is_behind(region) && plan.serves(region, model);
        let (unknown, known): (Vec<_>, Vec<_>) = others
            .into_iter()
            .filter(|other| serving(other))
            .partition(|other| is_unknown(other));
        let others_unknown = known.is_empty() && !unknown.is_empty();
        let fresh = if others_unknown { unknown } else { known }.into_iter();
        let planned = plan.placement(gateway, zone, model);
        let planned = planned.map(|placement| &placement.overflow);
        let parts = fresh.clone().filter_map(|other| {
            let weight = planned?.get(other)?;
            Some((other, f64::from(*weight)))
        });
        let mut parts: Vec<(&RegionName, f64)> = parts.collect();
        if parts.is_empty() {
            // Nobody has room, or nothing says so: the nearest.
            parts.extend(fresh.take(1).map(|other| (other, 1.0)));
        }
        let others = weights::whole(parts);
        let gates = others
            .keys()
            .map(|other: &RegionName| plan.batch_gate(other, model));
        let batch = FreshBatch {
            first: plan.batch_gate(first, model),
            others: gates.min().unwrap_or(100),
        };
        Some(Self {
            first: serving(first),
            first_unknown: is_unknown(first),
            others,
            others_unknown,
            batch,
        })
    }

    /// Where a request that needs fresh data goes, if others leave the first region or not: there, by the fresh lane, or, where
    /// nobody's data is fresh, wherever it would go without the need.
    pub fn way(&self, leaves: bool) -> Way {
        match (self.first, self.others.is_empty()) {
            (true, true) => Way::First,
            (true, false) if !leaves => Way::First,
            (_, false) => Way::Others,
            (false, true) => Way::Nowhere,
        }
    }
}

/// Where fresh data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In the first region.
    First,
    /// In other regions.
    Others,
    /// In none.
    Nowhere,
}
