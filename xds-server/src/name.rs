//! Names of Envoy resources. They are for people and logs: no code parses them.
//!
//! Whatever carries the promise of a zone or a fallback is named by the ID of its definition.

pub use meridian_policy::name::stat;

use meridian_policy::chain::Member;
use meridian_policy::definition::Definitions;
use meridian_policy::fleet::ControlPlane;
use meridian_policy::{FallbackId, FallbackName, ModelName, RegionName, ZoneId, ZoneName};

/// The HTTP filter that decides where a request goes. Its configuration is an ECDS resource.
pub const ROUTER: &str = "meridian.router";

/// What ends the name of the same resource for the filter as a dynamic module.
const NATIVE: &str = ".native";

/// The same resource for the filter as a dynamic module.
pub fn native(filter: &str) -> String {
    format!("{filter}{NATIVE}")
}

/// The same resource for the filter as a Wasm plugin.
pub fn wasm(native: &str) -> String {
    native.strip_suffix(NATIVE).unwrap_or(native).to_owned()
}

/// The cluster of the control plane, in a gateway's bootstrap.
pub const CONTROL_PLANE: &str = "control-plane";

/// The cluster of one of several replicas of the control plane, for a gateway's statistics.
fn control_plane_replica(number: usize) -> String {
    format!("{CONTROL_PLANE}-{number}")
}

/// The clusters to which a gateway reports, one of each replica.
pub fn report_clusters(control_plane: &ControlPlane) -> Vec<String> {
    match control_plane.addresses.len() {
        1 => vec![CONTROL_PLANE.to_owned()],
        count => (1..=count).map(control_plane_replica).collect(),
    }
}

/// The secret with a gateway's certificate and key, for other gateways and the control plane.
pub const GATEWAY: &str = "gateway";

/// The secret with the authority of all gateways' certificates.
pub const AUTHORITY: &str = "gateway_ca";

/// The secret with the certificate and key for callers.
pub const PUBLIC: &str = "public";

/// The cluster without endpoints. A request that matches no other route gets 503 there.
pub use meridian_policy::NO_ROUTE as NOTHING;

/// The cluster of the home region's pool of a model.
pub fn pool(region: &RegionName, model: &ModelName) -> String {
    format!("pool/{region}/{model}")
}

/// The cluster that only resolves the DNS name of the home region's pool of a model: no route leads to it.
pub fn dns(region: &RegionName, model: &ModelName) -> String {
    format!("dns/{region}/{model}")
}

/// The cluster of another region's pool, reached through that region's gateway.
pub fn peer(region: &RegionName, model: &ModelName) -> String {
    format!("peer/{region}/{model}")
}

/// The cluster that leads to a fallback's egress listener.
pub fn fallback(fallback: &FallbackId) -> String {
    format!("fallback/{fallback}")
}

/// The internal listener for requests to a fallback.
pub fn egress(fallback: &FallbackId) -> String {
    format!("egress/{fallback}")
}

/// The cluster of a fallback's hosted API.
pub fn provider(fallback: &FallbackId) -> String {
    format!("provider/{fallback}")
}

/// The cluster of the database that currently serves a region's retrieval.
pub fn vector_db(home: &RegionName) -> String {
    format!("vector_db/{home}")
}

/// The internal listener, and its chain, that tries a region's database first and then the others.
pub fn retrieval(first: &RegionName) -> String {
    format!("retrieval/{first}")
}

/// The application protocol (ALPN) by which a region's gateway gets its own filter chain at other gateways' databases.
pub fn reader(region: &RegionName) -> String {
    format!("retrieval/{region}")
}

/// The cluster of a region's vector database.
pub fn database(region: &RegionName) -> String {
    format!("database/{region}")
}

/// The cluster of a chain's member. `None`: a fallback without a definition.
pub fn member(definitions: &Definitions, member: &Member, model: &ModelName) -> Option<String> {
    Some(match member {
        Member::Pool(region) => pool(region, model),
        Member::Peer(region) => peer(region, model),
        Member::Fallback(name) => fallback(definitions.fallbacks.get(name)?),
    })
}

/// The cluster of a chain. Its name ends with the first member's region, or `fallback/` and the first member's name.
pub fn chain(zone: &ZoneId, model: &ModelName, members: &[Member]) -> String {
    chain_of(zone.as_str(), model, members)
}

fn chain_of(zone: &str, model: &ModelName, members: &[Member]) -> String {
    let first = members.first().map(Member::label);
    let first = first.unwrap_or_else(|| NOTHING.to_owned());
    format!("chain/{zone}/{model}/{first}")
}

/// Names for statistics, logs and people. They are the same for all definitions of a zone or fallback: a series goes on over an edit.
pub mod short {
    use super::{FallbackName, Member, ModelName, ZoneName, chain_of};

    /// The short name of a chain.
    pub fn chain(zone: &ZoneName, model: &ModelName, members: &[Member]) -> String {
        chain_of(zone.as_str(), model, members)
    }

    /// The short name of the cluster that leads to a fallback's egress listener.
    pub fn fallback(fallback: &FallbackName) -> String {
        format!("fallback/{fallback}")
    }

    /// The short name of a fallback's egress listener.
    pub fn egress(fallback: &FallbackName) -> String {
        format!("egress/{fallback}")
    }

    /// The short name of the cluster of a fallback's hosted API.
    pub fn provider(fallback: &FallbackName) -> String {
        format!("provider/{fallback}")
    }
}
