//! Chains: the members of an ordered failover list.

use crate::name::{FallbackName, RegionName};

/// A member of a chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// The pool of the home region.
    Pool(RegionName),
    /// The gateway of another region, which sends the request to its own pool.
    Peer(RegionName),
    /// A hosted provider.
    Fallback(FallbackName),
}

impl Member {
    /// The region of the member's pool. `None` for a fallback.
    pub fn region(&self) -> Option<&RegionName> {
        match self {
            Self::Pool(region) | Self::Peer(region) => Some(region),
            Self::Fallback(_) => None,
        }
    }

    /// The member for a region in a chain of the gateway of `home`: the own pool or a peer.
    pub fn of(region: &RegionName, home: &RegionName) -> Self {
        if region == home {
            Self::Pool(region.clone())
        } else {
            Self::Peer(region.clone())
        }
    }

    /// Whether a [label](Self::label) is that of a fallback.
    pub fn is_fallback(label: &str) -> bool {
        label.starts_with("fallback/")
    }

    /// The member's value of the response header `x-meridian-region` and of the endpoint metadata: the region, or
    /// `fallback/<name>`.
    pub fn label(&self) -> String {
        match self {
            Self::Pool(region) | Self::Peer(region) => region.to_string(),
            Self::Fallback(fallback) => format!("fallback/{fallback}"),
        }
    }
}
