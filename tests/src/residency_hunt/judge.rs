//! The judge: whether the places that saw a request were allowed for its caller. It reads definitions as plain data, and shares no
//! code with the product.

use super::definition::{Definition, Misdirected, Zone};
use std::collections::BTreeMap;

/// Countries that an edge sends where it knows none.
const UNKNOWN: [&str; 2] = ["XX", "T1"];

/// A place that saw a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The inference servers of a region.
    Pool(&'static str),
    /// The gateway of a region, as a peer of the one that received the request.
    Peer(&'static str),
    /// A provider, by its address.
    Provider(usize),
}

impl Place {
    /// Whether an answer of this place may bear this name: a region's, or one of a fallback, which may be any provider's.
    pub fn is_named(self, by: &str) -> bool {
        match self {
            Self::Pool(region) => region == by,
            Self::Provider(_) => by.starts_with("fallback/"),
            Self::Peer(_) => false,
        }
    }
}

/// A caller, and where it called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The country that the trusted edge tells, if it tells one.
    pub country: Option<&'static str>,
    /// The region whose gateway received the request.
    pub gateway: &'static str,
}

/// Whether there is one generation among the possible ones under which all places were allowed.
///
/// `generations`: the least and the greatest that the gateway's filter can have had when it decided.
pub fn is_clean(
    definitions: &BTreeMap<u32, Definition>,
    caller: Caller,
    generations: (u32, u32),
    places: &[Place],
) -> bool {
    let (least, greatest) = generations;
    let mut possible = definitions.range(least..=greatest.max(least));
    places.is_empty()
        || possible.any(|(_, definition)| {
            let mut places = places.iter();
            places.all(|place| is_allowed(definition, caller, *place))
        })
}

/// Whether a place was allowed under a definition.
pub fn is_allowed(definition: &Definition, caller: Caller, place: Place) -> bool {
    let Some((_, zone)) = zone_of(definition, caller.country) else {
        return false;
    };
    if !zone.pinned {
        return true;
    }
    let may_leave_gateway =
        zone.regions.contains(&caller.gateway) || zone.misdirected == Misdirected::Forward;
    let is_of_zone = match place {
        Place::Pool(region) | Place::Peer(region) => zone.regions.contains(&region),
        Place::Provider(provider) => {
            let providers = zone
                .fallbacks
                .iter()
                .map(|name| definition.fallbacks.get(name));
            providers.flatten().any(|own| *own == provider)
        }
    };
    may_leave_gateway && is_of_zone
}

/// The zone of a caller, with its name.
pub fn zone_of<'d>(
    definition: &'d Definition,
    country: Option<&str>,
) -> Option<(&'static str, &'d Zone)> {
    let country = country.filter(|country| !UNKNOWN.contains(country));
    let zones = || definition.zones.iter().map(|(name, zone)| (*name, zone));
    let named = country.and_then(|country| {
        zones()
            .find(|(_, zone)| zone.countries.contains(&country))
            .or_else(|| zones().find(|(_, zone)| zone.rest))
    });
    named.or_else(|| zones().find(|(name, _)| *name == definition.unknown_zone))
}

#[cfg(test)]
mod tests;
