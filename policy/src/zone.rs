//! Residency zones, and the sources of a caller's zone.

use crate::country::Country;
use crate::limits::{Failover, OwnLimits};
use crate::name::{FallbackName, RegionName, ZoneName};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A residency zone: the callers that belong to it, and the places where their requests may go.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// The countries of the zone's callers.
    pub countries: BTreeSet<Country>,
    /// Whether the zone takes all countries that no zone lists.
    pub rest: bool,
    /// Whether requests of the zone never leave its regions and fallbacks.
    pub pinned: bool,
    /// The regions of the zone.
    pub regions: BTreeSet<RegionName>,
    /// The fallbacks of the zone, in order of preference.
    pub fallbacks: Vec<FallbackName>,
    /// What a gateway outside the zone does with the zone's callers. It applies to pinned zones only.
    pub misdirected: Misdirected,
    /// The order in which the zone's regions are tried.
    pub order: Order,
    /// How far failover goes, in place of the fleet's depth.
    pub failover: Option<Failover>,
    /// Limits of the zone, in place of the fleet's.
    pub limits: OwnLimits,
    /// What servers may do on their own with the zone's requests.
    pub content: ContentRules,
}

/// What servers may do on their own with a zone's requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentRules {
    /// For a pinned zone: types of tools that its fallbacks may run, as requests name them, e.g. `web_search`.
    pub fallback_tools: BTreeSet<String>,
    /// Whether requests that name content by URL are refused: the server would fetch it.
    pub refuse_remote: bool,
}

/// The order in which a zone's regions are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Home, then the others by distance: every region serves its own callers (active-active).
    #[default]
    Nearest,
    /// These regions in this order at every gateway, then the others by distance (active-passive).
    Priority(Vec<RegionName>),
    /// A fixed weight for each region at every gateway, whatever the load. If a region fails, the others follow as for
    /// [`Order::Nearest`].
    Weighted(BTreeMap<RegionName, u32>),
}

/// What a gateway does with a pinned caller that it must not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdirected {
    /// Responds with 421 and the right gateways. It does not read the body.
    Refuse,
    /// Responds with 307 to the nearest right gateway.
    Redirect,
    /// Forwards the request to a peer in the zone.
    Forward,
}

/// The rule for a caller whose zone is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownZone {
    /// The caller belongs to this zone.
    Zone(ZoneName),
    /// The caller gets 403.
    Refuse,
}

/// A header that names a caller's zone or country.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneSource {
    /// The name of the header, in lower case.
    pub header: String,
    /// The kind of the header's value.
    pub gives: ZoneSourceKind,
    /// The senders that the header is trusted from. The gateway removes the header of any other sender.
    pub trust: Trust,
}

/// The kind of a [`ZoneSource`]'s value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneSourceKind {
    /// The name of a zone.
    Zone,
    /// An ISO 3166-1 alpha-2 code.
    Country,
}

/// Trusted senders of a header.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Networks of the edge. The source address of the connection counts, never a forwarded address.
    pub cidr: Vec<IpNet>,
}
