//! From fleet and plan to the resources of every gateway: translate, split, join as the gateway does, verify. If one
//! gateway fails, nothing is published.

use crate::discovery::{self, Unresolved};
use crate::history::History;
use crate::translate::{of_the_other_kind, translate};
use crate::verify::{Leak, verify};
use crate::xds::Resources;
use meridian_planner::plan::Plan;
use meridian_policy::RegionName;
use meridian_policy::filter_policy::Lease;
use meridian_proto::JsonError;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The resources of every gateway, by region.
pub type Publication = BTreeMap<RegionName, Arc<Resources>>;

/// Why a plan cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum Unpublishable {
    /// A configuration would let a pinned request out of its zone.
    #[error("the configuration of {region} would break residency:\n{}", lines(.leaks))]
    Leaks {
        /// The gateway.
        region: RegionName,
        /// The leaks.
        leaks: Vec<Leak>,
    },
    /// A resource refers to one that is not there.
    #[error("the configuration of {0}: {1}")]
    Unresolved(RegionName, Unresolved),
    /// The version of a resource cannot be computed.
    #[error(transparent)]
    Version(#[from] JsonError),
}

fn lines(leaks: &[Leak]) -> String {
    let lines: Vec<String> = leaks.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Builds the resources of every gateway, with the definitions of earlier fleets. A gateway whose resources are equal to those in `before` shares them.
///
/// # Errors
///
/// If a configuration does not verify. The caller keeps what was published before.
pub fn publication<'f>(
    history: impl Into<History<'f>>,
    plan: &Plan,
    lease: Lease,
    before: &Publication,
) -> Result<Publication, Unpublishable> {
    let history = history.into();
    let nothing = Resources::default();
    let mut publication = Publication::new();
    for region in history.current.fleet.regions.keys() {
        let mut parts = discovery::split(translate(&history, plan, region, Some(lease)));
        let joined = discovery::join(&parts)
            .map_err(|unresolved| Unpublishable::Unresolved(region.clone(), unresolved))?;
        let leaks = verify(&history, region, &joined);
        if !leaks.is_empty() {
            let region = region.clone();
            return Err(Unpublishable::Leaks { region, leaks });
        }
        // The same policies, and code of the same fleet: they carry nobody to another place.
        let others = of_the_other_kind(history.current.fleet, &parts.extensions);
        parts.extensions.extend(others);
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
