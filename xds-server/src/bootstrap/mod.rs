//! Envoy's configuration file: a short one that fetches the rest by xDS, and a complete static one.

mod common;
mod dynamic;
mod secrets;

pub use dynamic::{NoControlPlane, Protocol, dynamic};
pub use secrets::secret_files;

use crate::snapshot::Snapshot;
use envoy_types::pb::envoy::config::bootstrap::v3::Bootstrap;
use envoy_types::pb::envoy::config::bootstrap::v3::bootstrap::StaticResources;
use meridian_policy::{Fleet, RegionName};

/// The static configuration that `meridian export` prints: it needs no control plane. `None` if the region is unknown.
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
