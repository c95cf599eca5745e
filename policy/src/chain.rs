//! Chains: the members of an ordered failover list.

use crate::name::{FallbackName, RegionName};

/// One link of a chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// The home region's own pool.
    Pool(RegionName),
    /// Another region's gateway, which goes straight to its pool.
    Peer(RegionName),
    /// A hosted provider.
    Fallback(FallbackName),
}

impl Member {
    /// The region whose pool it leads to; a provider has none.
    pub fn region(&self) -> Option<&RegionName> {
        match self {
            Self::Pool(region) | Self::Peer(region) => Some(region),
            Self::Fallback(_) => None,
        }
    }

    /// A region as the gateway of `home` sees it: its own pool, or a peer.
    pub fn of(region: &RegionName, home: &RegionName) -> Self {
        if region == home {
            Self::Pool(region.clone())
        } else {
            Self::Peer(region.clone())
        }
    }

    /// How answers name it: `x-meridian-region`, from endpoints' metadata.
    pub fn label(&self) -> String {
        match self {
            Self::Pool(region) | Self::Peer(region) => region.to_string(),
            Self::Fallback(fallback) => format!("fallback/{fallback}"),
        }
    }
}
