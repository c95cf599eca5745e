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

impl Definition {
    /// What is not as in another definition.
    pub fn changes(&self, before: &Self) -> String {
        let same = |name: &&str, zone: &Zone| before.zones.get(*name) == Some(zone);
        let zones = self.zones.iter();
        let zones = zones.filter(|(name, zone)| !same(name, zone));
        let mut parts: Vec<String> = zones
            .map(|(name, zone)| format!("{name}: {zone}"))
            .collect();
        let gone = before.zones.keys();
        let gone = gone.filter(|name| !self.zones.contains_key(*name));
        parts.extend(gone.map(|name| format!("no {name}")));
        if self.fallbacks != before.fallbacks {
            parts.push(self.fallbacks_text());
        }
        if self.unknown_zone != before.unknown_zone {
            parts.push(format!("unknown={}", self.unknown_zone));
        }
        if parts.is_empty() {
            return "limits or order only".into();
        }
        parts.join("; ")
    }

    fn fallbacks_text(&self) -> String {
        let fallbacks = self.fallbacks.iter();
        let fallbacks = fallbacks.map(|(name, provider)| format!("{name}=provider {provider}"));
        fallbacks.collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = if self.rest { "+rest" } else { "" };
        let pinned = if self.pinned { "pinned" } else { "open" };
        let (countries, regions) = (self.countries.join(","), self.regions.join(","));
        let fallbacks = self.fallbacks.join(",");
        let misdirected = self.misdirected.as_str();
        write!(
            out,
            "{countries}{rest} {pinned} [{regions}] [{fallbacks}] {misdirected}"
        )
    }
}

/// All of it in one line.
impl fmt::Display for Definition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, zone) in &self.zones {
            write!(out, "{name}: {zone}; ")?;
        }
        let fallbacks = self.fallbacks_text();
        write!(out, "{fallbacks}; unknown={}", self.unknown_zone)
    }
}
