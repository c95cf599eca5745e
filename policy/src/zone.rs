//! Residency zones, and how a caller's zone is found.

use crate::country::Country;
use crate::limits::OwnLimits;
use crate::name::{FallbackName, RegionName, ZoneName};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A residency zone: who belongs to it and where its requests may go.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// Countries whose callers belong here.
    pub countries: BTreeSet<Country>,
    /// Whether the countries that no other zone names belong here.
    pub rest: bool,
    /// Whether its requests never leave its regions and fallbacks.
    pub pinned: bool,
    /// Regions that it may use.
    pub regions: BTreeSet<RegionName>,
    /// Fallbacks that it may use, the first choice first.
    pub fallbacks: Vec<FallbackName>,
    /// What a gateway outside the zone does with its callers. Only pinned zones are ever misdirected.
    pub misdirected: Misdirected,
    /// Which of its regions is asked first.
    pub order: Order,
    /// Limits of its own.
    pub limits: OwnLimits,
}

/// Which of a zone's regions its callers are sent to first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Home, then the others by distance: all regions serve their own callers (active-active).
    #[default]
    Nearest,
    /// These in their order, at every gateway, then the others by distance (active-passive).
    Priority(Vec<RegionName>),
    /// A fixed part to each, at every gateway: load moves nobody. Where a region fails, the others are asked as for
    /// [`Order::Nearest`].
    Weighted(BTreeMap<RegionName, u32>),
}

/// What a gateway does with a pinned caller that it must not serve itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdirected {
    /// 421 that names the right gateways; no byte of the body is read.
    Refuse,
    /// 307 to the nearest right gateway.
    Redirect,
    /// Sent on to a peer in the zone: the request passes through this gateway.
    Forward,
}

/// What becomes of a caller that no source places in a zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownZone {
    /// It is treated as a caller of this zone.
    Zone(ZoneName),
    /// It is refused with 403.
    Refuse,
}

/// A header that tells a caller's zone or country.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneSource {
    /// The header's name, in lower case.
    pub header: String,
    /// What its value is.
    pub gives: ZoneSourceKind,
    /// Who may send it. From anyone else it is removed and says nothing.
    pub trust: Trust,
}

/// What the value of a [`ZoneSource`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneSourceKind {
    /// A zone's name.
    Zone,
    /// An ISO 3166-1 alpha-2 code.
    Country,
}

/// Whose headers are believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Addresses of the edge: the connection's own source, never a forwarded one.
    pub cidr: Vec<IpNet>,
}
