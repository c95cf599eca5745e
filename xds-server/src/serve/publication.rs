//! From fleet and plan to what every gateway is given: translated, cut into resources, put together again as a gateway
//! does it, and verified. All of it or nothing.

use crate::discovery::{self, Unresolved};
use crate::translate::translate;
use crate::verify::{Leak, verify};
use crate::xds::Resources;
use meridian_planner::plan::Plan;
use meridian_policy::filter_policy::Lease;
use meridian_policy::{Fleet, RegionName};
use meridian_proto::JsonError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every gateway's resources.
pub type Publication = BTreeMap<RegionName, Arc<Resources>>;

/// Why nothing is published.
#[derive(Debug, thiserror::Error)]
pub enum Unpublishable {
    /// A configuration would let a pinned request out of its zone.
    #[error("the configuration of {region} would break residency:\n{}", lines(.leaks))]
    Leaks {
        /// The gateway.
        region: RegionName,
        /// Every way out.
        leaks: Vec<Leak>,
    },
    /// The resources do not belong together.
    #[error("the configuration of {0}: {1}")]
    Unresolved(RegionName, Unresolved),
    /// A resource has no version.
    #[error(transparent)]
    Version(#[from] JsonError),
}

fn lines(leaks: &[Leak]) -> String {
    let lines: Vec<String> = leaks.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Makes every gateway's resources. What says the same as `before` is shared with it.
pub fn publication(
    fleet: &Fleet,
    plan: &Plan,
    lease: Lease,
    before: &Publication,
) -> Result<Publication, Unpublishable> {
    let nothing = Resources::default();
    let mut publication = Publication::new();
    for region in fleet.regions.keys() {
        let parts = discovery::split(translate(fleet, plan, region, Some(lease)));
        let joined = discovery::join(&parts)
            .map_err(|unresolved| Unpublishable::Unresolved(region.clone(), unresolved))?;
        let leaks = verify(fleet, region, &joined);
        if !leaks.is_empty() {
            let region = region.clone();
            return Err(Unpublishable::Leaks { region, leaks });
        }
        let last = before.get(region);
        let resources = discovery::resources(parts, last.map_or(&nothing, Arc::as_ref))?;
        let shared = last.filter(|last| ***last == resources).cloned();
        publication.insert(
            region.clone(),
            shared.unwrap_or_else(|| Arc::new(resources)),
        );
    }
    Ok(publication)
}
