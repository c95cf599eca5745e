//! Envoy's own configuration file: the short one that asks the control plane for the rest, and the whole, static one.

mod common;
mod dynamic;

pub use dynamic::{NoControlPlane, Protocol, dynamic};

use crate::snapshot::Snapshot;
use envoy_types::pb::envoy::config::bootstrap::v3::Bootstrap;
use envoy_types::pb::envoy::config::bootstrap::v3::bootstrap::StaticResources;
use meridian_policy::{Fleet, RegionName};

/// The whole configuration of one Envoy, which asks nobody: what `meridian export` prints. `None` if the region is
/// unknown.
pub fn fixed(fleet: &Fleet, home: &RegionName, snapshot: Snapshot) -> Option<Bootstrap> {
    let Snapshot {
        listeners,
        clusters,
        secrets,
    } = snapshot;
    Some(Bootstrap {
        static_resources: Some(StaticResources {
            listeners,
            clusters,
            secrets,
        }),
        ..common::bootstrap(fleet, home)?
    })
}
