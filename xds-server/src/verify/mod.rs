//! The residency verifier: reads a gateway's finished Envoy configuration and reports everything that could carry a
//! byte of a pinned zone's request outside that zone's regions and fallbacks.
//!
//! It shares nothing with the code that made the configuration: an address is whose the fleet says it is, and
//! resource names mean nothing. It is an allow-list: what it does not understand is a leak.
//!
//! ```text
//! listener -> who may enter (entry) -> routes with their zones (route) -> clusters (cluster) -> addresses (owner)
//!          -> who may read (retrieval) ---------------------------------> clusters (cluster) -> addresses (owner)
//! ```

mod agreement;
mod cluster;
mod destination;
mod egress;
mod endpoint;
mod entry;
mod http_filter;
mod known;
mod listener;
mod owner;
mod protocol;
mod retrieval;
mod retry;
mod route;
mod secret;
mod tls;
mod wasm;

use crate::snapshot::Snapshot;
use cluster::Ways;
use known::Leaks;
use meridian_policy::{Fleet, RegionName, ZoneName};
use owner::Owners;
use secret::Secrets;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One way in which a configuration could break residency, or cannot be shown to keep it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leak {
    /// Where, e.g. `listeners.public.routes["eea/m/home"] -> cluster chain/eea/m -> endpoint 10.0.1.10:8000`.
    pub at: String,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

/// Zones by name.
type Zones<'f> = BTreeSet<&'f ZoneName>;

/// What one verification knows and has found so far.
struct Walk<'f> {
    fleet: &'f Fleet,
    home: &'f RegionName,
    ways: Ways<'f>,
    secrets: Secrets<'f>,
    /// Internal listeners, with the zones whose requests some route sends into them.
    inside: BTreeMap<String, Zones<'f>>,
    /// Internal listeners that retrieval is led into.
    retrieved: BTreeSet<String>,
    leaks: Leaks,
}

impl<'f> Walk<'f> {
    fn every_zone(&self) -> Zones<'f> {
        self.fleet.zones.keys().collect()
    }
}

/// Every way in which the configuration of the gateway of `home` could break residency; empty if there is none.
pub fn verify(fleet: &Fleet, home: &RegionName, snapshot: &Snapshot) -> Vec<Leak> {
    // Named, so that nothing can be added to a snapshot without being verified.
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
    let ways = Ways::read(fleet, home, &Owners::of(fleet, home), clusters, &mut leaks);
    let secrets = Secrets::read(secrets, &mut leaks);
    let mut walk = Walk {
        fleet,
        home,
        ways,
        secrets,
        inside: BTreeMap::new(),
        retrieved: BTreeSet::new(),
        leaks,
    };
    walk.listeners(listeners);
    walk.leaks.into_vec()
}

#[cfg(test)]
mod tests;
