//! What an edit of the fleet file would change, before it is made.

mod fleets;
mod gateways;
mod residency;
mod text;

pub use fleets::{Change, Kind, Move, Reach};
pub use gateways::{Counts, GatewayChange};
pub use text::text;

use crate::serve::{Configurations, Unpublishable};
use meridian_planner::topology::Topology;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The difference between two fleets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// What is looser or leads elsewhere for pinned zones: read it twice.
    pub residency: Vec<String>,
    /// Countries whose callers get another zone.
    pub countries: Vec<Move>,
    /// Zones.
    pub zones: Vec<Change>,
    /// Who gains or loses regions.
    pub reach: Vec<Reach>,
    /// Regions, with their pools.
    pub regions: Vec<Change>,
    /// Hosted providers.
    pub fallbacks: Vec<Change>,
    /// Settings of the whole fleet, by their fields.
    pub settings: Vec<String>,
    /// What each gateway's Envoy would get.
    pub gateways: Vec<GatewayChange>,
}

impl Difference {
    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The difference between two fleets. Both are verified, as before they are published.
///
/// # Errors
/// One of them cannot be published.
pub fn difference(
    before: &Arc<Topology>,
    after: &Arc<Topology>,
) -> Result<Difference, Unpublishable> {
    let old = Configurations::of(Arc::clone(before))?;
    let new = Configurations::of(Arc::clone(after))?;
    Ok(Difference {
        residency: residency::looser(before, after),
        countries: fleets::countries(before, after),
        zones: fleets::zones(before, after),
        reach: fleets::reach(before, after),
        regions: fleets::regions(before, after),
        fallbacks: fleets::fallbacks(before, after),
        settings: fleets::settings(before, after),
        gateways: gateways::changes(&old, &new),
    })
}

#[cfg(test)]
mod tests;
