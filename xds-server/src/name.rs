//! Names of Envoy resources. They are for people: nothing parses them.

pub use meridian_policy::name::stat;

use meridian_policy::chain::Member;
use meridian_policy::{FallbackName, ModelName, RegionName, ZoneName};

/// The HTTP filter that decides where a request goes. Its configuration is a resource of its own (ECDS).
pub const ROUTER: &str = "meridian.router";

/// The cluster that never has endpoints: requests that no route is meant for end here.
pub const NOTHING: &str = "nothing";

/// A region's pool of a model, at home.
pub fn pool(region: &RegionName, model: &ModelName) -> String {
    format!("pool/{region}/{model}")
}

/// The same from another region, through its gateway.
pub fn peer(region: &RegionName, model: &ModelName) -> String {
    format!("peer/{region}/{model}")
}

/// A fallback as a member of chains: leads to its egress listener.
pub fn fallback(fallback: &FallbackName) -> String {
    format!("fallback/{fallback}")
}

/// The internal listener that a fallback's requests leave through.
pub fn egress(fallback: &FallbackName) -> String {
    format!("egress/{fallback}")
}

/// The hosted API behind a fallback.
pub fn provider(fallback: &FallbackName) -> String {
    format!("provider/{fallback}")
}

/// The database that serves what is retrieved in a region.
pub fn vector_db(home: &RegionName) -> String {
    format!("vector_db/{home}")
}

/// The way to a region's database, and to the others where it does not answer.
pub fn retrieval(first: &RegionName) -> String {
    format!("retrieval/{first}")
}

/// A region's vector database.
pub fn database(region: &RegionName) -> String {
    format!("database/{region}")
}

/// A member of a chain.
pub fn member(member: &Member, model: &ModelName) -> String {
    match member {
        Member::Pool(region) => pool(region, model),
        Member::Peer(region) => peer(region, model),
        Member::Fallback(name) => fallback(name),
    }
}

/// A chain, named after its first member.
pub fn chain(zone: &ZoneName, model: &ModelName, members: &[Member]) -> String {
    let first = match members.first() {
        Some(Member::Pool(region) | Member::Peer(region)) => region.as_str(),
        Some(Member::Fallback(name)) => name.as_str(),
        None => NOTHING,
    };
    format!("chain/{zone}/{model}/{first}")
}
