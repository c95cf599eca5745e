//! The residency verifier: reads a gateway's finished Envoy configuration and reports everything that could carry a
//! byte of a pinned zone's request outside that zone's regions and fallbacks.
//!
//! It shares no rule with the code that generates configurations. The fleet alone says who owns an address, and
//! resource names carry no meaning. It is an allow-list: a field or message that it does not support is a leak.
//!
//! ```text
//! listener -> zones that may enter (entry) -> zones of each route (route) -> clusters (cluster) -> addresses (owner)
//!          -> gateways that may read (retrieval) -------------------------> clusters (cluster) -> addresses (owner)
//! ```

mod agreement;
mod cluster;
mod destination;
mod egress;
mod egress_policy;
mod endpoint;
mod entry;
mod http_filter;
mod leak;
mod listener;
mod owner;
mod protocol;
mod residency;
mod retrieval;
mod retry;
mod route;
mod secret;
mod tls;
mod walk;
mod wasm;

pub use leak::Leak;

use crate::snapshot::Snapshot;
use cluster::Clusters;
use leak::Leaks;
use meridian_policy::{Fleet, RegionName};
use owner::Owners;
use secret::Secrets;
use walk::Walk;

/// The leaks of the configuration of the gateway of `home`; empty if residency holds.
pub fn verify(fleet: &Fleet, home: &RegionName, snapshot: &Snapshot) -> Vec<Leak> {
    // Without `..`: a new field of the snapshot does not compile until it is verified.
    let Snapshot {
        listeners,
        clusters,
        secrets,
    } = snapshot;
    let mut leaks = Leaks::default();
    if !fleet.regions.contains_key(home) {
        leaks.add(
            "snapshot",
            format!("the fleet has no region `{home}` that it could be for"),
        );
    }
    let owners = Owners::of(fleet, home);
    let clusters = Clusters::read(fleet, home, &owners, clusters, &mut leaks);
    let secrets = Secrets::read(secrets, &mut leaks);
    let mut walk = Walk::new(fleet, home, clusters, secrets, leaks);
    walk.listeners(listeners);
    walk.leaks.into_vec()
}

#[cfg(test)]
mod tests;
