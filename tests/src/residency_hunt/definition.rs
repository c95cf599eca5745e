//! What one version of the fleet file says about zones, as plain data: for the text of the file, and for the judge.

use crate::world::REGIONS;
use std::collections::BTreeMap;
use std::fmt;

/// The countries of callers that zones name.
pub const COUNTRIES: [&str; 8] = ["DE", "FR", "IT", "GB", "CH", "US", "JP", "BR"];

/// The jurisdictions of the providers. A provider is its address, whatever fallbacks call it.
pub const JURISDICTIONS: [&str; 5] = ["global", "eea", "uk", "eea", "ch"];

/// The zones and fallbacks of one version of the fleet file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The zones by name.
    pub zones: BTreeMap<&'static str, Zone>,
    /// The zone of callers whose country is unknown, or is of no zone.
    pub unknown_zone: &'static str,
    /// The provider of each fallback: a place in [`JURISDICTIONS`].
    pub fallbacks: BTreeMap<&'static str, usize>,
    /// One of several sets of limits, which say nothing about residency.
    pub limits: usize,
    /// Whether the zones stand in the opposite order in the file.
    pub reversed: bool,
}

/// A zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// The countries that it names.
    pub countries: Vec<&'static str>,
    /// Whether it has all countries that no zone names.
    pub rest: bool,
    /// Whether its requests stay in its regions and with its fallbacks.
    pub pinned: bool,
    /// Its regions.
    pub regions: Vec<&'static str>,
    /// Its fallbacks, in the order in which they are asked.
    pub fallbacks: Vec<&'static str>,
    /// What gateways outside do with its callers.
    pub misdirected: Misdirected,
}

/// What a gateway outside a pinned zone does with the zone's callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdirected {
    /// 421.
    Refuse,
    /// 307.
    Redirect,
    /// It sends them on to a gateway in the zone.
    Forward,
}

impl Misdirected {
    /// As the fleet file writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Redirect => "redirect",
            Self::Forward => "forward",
        }
    }
}

impl Definition {
    /// The definition that a hunt begins with: one pinned zone, one for the rest of the world.
    pub fn first() -> Self {
        let pinned = Zone {
            countries: vec!["DE", "FR", "IT"],
            rest: false,
            pinned: true,
            regions: vec!["eu-west-1"],
            fallbacks: vec!["f"],
            misdirected: Misdirected::Forward,
        };
        let open = Zone {
            countries: Vec::new(),
            rest: true,
            pinned: false,
            regions: REGIONS.to_vec(),
            fallbacks: vec!["g", "h"],
            misdirected: Misdirected::Refuse,
        };
        Self {
            zones: BTreeMap::from([("x", pinned), ("y", open)]),
            unknown_zone: "x",
            fallbacks: BTreeMap::from([("f", 1), ("g", 0), ("h", 2)]),
            limits: 0,
            reversed: false,
        }
    }
}

/// One line for each zone and for the fallbacks.
impl fmt::Display for Definition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, zone) in &self.zones {
            let rest = if zone.rest { "+rest" } else { "" };
            let pinned = if zone.pinned { "pinned" } else { "open" };
            let (countries, regions) = (zone.countries.join(","), zone.regions.join(","));
            let fallbacks = zone.fallbacks.join(",");
            let misdirected = zone.misdirected.as_str();
            write!(
                out,
                "{name}: {countries}{rest} {pinned} [{regions}] [{fallbacks}] {misdirected}; "
            )?;
        }
        for (name, provider) in &self.fallbacks {
            write!(out, "{name}=provider {provider} ")?;
        }
        write!(out, "unknown={} limits {}", self.unknown_zone, self.limits)
    }
}
