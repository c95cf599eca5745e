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
mod jurisdiction;
mod leak;
mod listener;
mod moved;
mod native;
mod owner;
mod plugin;
mod protocol;
mod provider;
mod report;
mod residency;
mod retrieval;
mod retry;
mod route;
mod route_tree;
mod secret;
mod tls;
mod walk;
mod wasm;

pub use leak::Leak;
pub use moved::{Skeleton, moved};

use crate::history::History;
use crate::snapshot::Snapshot;
use cluster::Clusters;
use leak::Leaks;
use meridian_policy::{Fleet, RegionName, ZoneId};
use owner::Owners;
use residency::Definition;
use secret::Secrets;
use std::collections::BTreeMap;
use walk::Walk;

/// The leaks of the configuration of the gateway of `home`; empty if residency holds. Each definition of a zone is held to the fleet that
/// it is of, the current one or an earlier one.
pub fn verify(history: impl Into<History>, home: &RegionName, snapshot: &Snapshot) -> Vec<Leak> {
    let history = history.into();
    // Without `..`: a new field of the snapshot does not compile until it is verified.
    let Snapshot {
        listeners,
        clusters,
        secrets,
    } = snapshot;
    let mut leaks = Leaks::default();
    if !history.current.regions.contains_key(home) {
        leaks.add(
            "snapshot",
            format!("the fleet has no region `{home}` that it could be for"),
        );
    }
    let definitions = definitions(&history, &mut leaks);
    let owners = Owners::of(&history, home);
    let clusters = Clusters::read(&history, home, &owners, clusters, &mut leaks);
    let secrets = Secrets::read(history.current.regions.get(home), secrets, &mut leaks);
    let mut walk = Walk::new(&history, definitions, home, clusters, secrets, leaks);
    walk.listeners(listeners);
    walk.leaks.into_vec()
}

/// The definitions of all fleets. An ID must not stand for two promises.
fn definitions<'f>(history: &'f History, leaks: &mut Leaks) -> BTreeMap<ZoneId, Definition<'f>> {
    let mut definitions: BTreeMap<ZoneId, Definition<'f>> = BTreeMap::new();
    for topology in history.all() {
        let fleet: &Fleet = topology;
        for (name, zone) in &fleet.zones {
            let definition = Definition { fleet, name, zone };
            let Some(id) = topology.definitions().zones.get(name).cloned() else {
                leaks.add("snapshot", format!("the zone `{name}` has no ID"));
                continue;
            };
            let known = definitions.entry(id).or_insert(definition);
            if !known.promises_the_same(&definition) {
                let message = format!("the ID of the zone `{name}` stands for two definitions");
                leaks.add("snapshot", message);
            }
        }
    }
    definitions
}

#[cfg(test)]
pub(crate) mod tests;
