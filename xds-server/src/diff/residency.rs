//! What an edit makes looser for pinned zones, or leads elsewhere.

use super::fleets::countries;
use meridian_policy::fleet::{Misdirected, UnknownZone};
use meridian_policy::{Fleet, ZoneName};
use std::collections::BTreeSet;

/// What a person must agree to: callers that are no longer pinned, places that pinned callers may reach and could not, what servers
/// may do with their requests, and senders that are believed and were not.
pub fn looser(before: &Fleet, after: &Fleet) -> Vec<String> {
    let mut all = Vec::new();
    for (name, old) in before.zones.iter().filter(|(_, zone)| zone.pinned) {
        let Some(new) = after.zones.get(name) else {
            all.push(format!("{name}, a pinned zone, goes"));
            continue;
        };
        if !new.pinned {
            all.push(format!(
                "{name} is no longer pinned: its requests may go anywhere"
            ));
        }
        if new.misdirected == Misdirected::Forward && old.misdirected != new.misdirected {
            all.push(format!(
                "all gateways take requests of {name} and pass them on"
            ));
        }
        let tools = &new.content.fallback_tools;
        let tools = tools.difference(&old.content.fallback_tools);
        all.extend(tools.map(|tool| format!("fallbacks may run {tool} for requests of {name}")));
        if old.content.refuse_remote && !new.content.refuse_remote {
            all.push(format!(
                "servers may fetch content that requests of {name} name by URL"
            ));
        }
        let gained = new.regions.difference(&old.regions);
        all.extend(gained.map(|region| format!("requests of {name} may go to {region}")));
        let fallbacks = new
            .fallbacks
            .iter()
            .filter(|it| !old.fallbacks.contains(it));
        all.extend(
            fallbacks.map(|fallback| format!("requests of {name} may go to fallback/{fallback}")),
        );
        for fallback in new.fallbacks.iter().filter(|it| old.fallbacks.contains(it)) {
            let place = |fleet: &Fleet| {
                let of = fleet.fallbacks.get(fallback);
                of.map(|of| {
                    (
                        of.endpoint.clone(),
                        of.provider.clone(),
                        of.jurisdiction.clone(),
                    )
                })
            };
            if place(before) != place(after) {
                all.push(format!(
                    "requests of {name} to fallback/{fallback} go to another place"
                ));
            }
        }
    }
    all.extend(moved(before, after));
    all.extend(sources(before, after));
    all.extend(believed(before, after));
    all
}

/// Where the requests of callers may go who are pinned; `None` if they are not.
type Places = Option<BTreeSet<String>>;

fn places(fleet: &Fleet, zone: Option<&ZoneName>) -> Places {
    // Callers without a zone are refused.
    let Some(zone) = zone.and_then(|name| fleet.zones.get(name)) else {
        return Some(BTreeSet::new());
    };
    let regions = zone.regions.iter().map(ToString::to_string);
    let fallbacks = zone.fallbacks.iter().map(|it| format!("fallback/{it}"));
    zone.pinned.then(|| regions.chain(fallbacks).collect())
}

/// What callers may reach in a zone and could not in the one before.
fn gained(who: &str, old: &Places, new: &Places) -> Option<String> {
    match (old, new) {
        (None, _) => None,
        (Some(_), None) => Some(format!("{who} are no longer pinned")),
        (Some(old), Some(new)) => {
            let gained: Vec<&str> = new.difference(old).map(String::as_str).collect();
            let gained = (!gained.is_empty()).then(|| gained.join(", "));
            gained.map(|places| format!("requests of {who} may go to {places}"))
        }
    }
}

/// Callers who get a zone with other places.
fn moved(before: &Fleet, after: &Fleet) -> Vec<String> {
    let moves = countries(before, after);
    let moves = moves.iter().filter_map(|moved| {
        let countries: Vec<String> = moved.countries.iter().map(ToString::to_string).collect();
        let who = format!("callers of {}", countries.join(", "));
        let (old, new) = (
            places(before, moved.from.as_ref()),
            places(after, moved.to.as_ref()),
        );
        gained(&who, &old, &new)
    });
    let unknown = |fleet: &Fleet| match &fleet.unknown_zone {
        UnknownZone::Zone(zone) => Some(zone.clone()),
        UnknownZone::Refuse => None,
    };
    let (old, new) = (unknown(before), unknown(after));
    let unknown = (old != new).then(|| {
        let (old, new) = (places(before, old.as_ref()), places(after, new.as_ref()));
        gained("callers of unknown zone", &old, &new)
    });
    moves.chain(unknown.flatten()).collect()
}

/// The sources of a caller's zone, if they are others, or in another order.
fn sources(before: &Fleet, after: &Fleet) -> Option<String> {
    let of = |fleet: &Fleet| -> Vec<_> {
        let sources = fleet.sources.iter();
        let sources = sources.map(|source| (source.header.clone(), source.gives));
        sources.collect()
    };
    let is_other = of(before) != of(after);
    is_other.then(|| "other headers tell a caller's zone, or in another order".to_owned())
}

/// Networks that are trusted with a source and were not.
fn believed(before: &Fleet, after: &Fleet) -> Vec<String> {
    let sources = after.sources.iter().flat_map(|source| {
        let old = before
            .sources
            .iter()
            .find(|old| old.header == source.header);
        let old: BTreeSet<_> = old.into_iter().flat_map(|old| &old.trust.cidr).collect();
        let new = source.trust.cidr.iter();
        let new = new.filter(move |network| !old.iter().any(|old| old.contains(*network)));
        new.map(|network| format!("{network} is believed about `{}`", source.header))
    });
    sources.collect()
}
