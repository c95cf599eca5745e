//! What an edit makes looser for pinned zones, or leads elsewhere.

use super::fleets::{countries, zone_of};
use meridian_policy::Fleet;
use meridian_policy::fleet::UnknownZone;
use std::collections::BTreeSet;

/// What a person must agree to: callers that are no longer pinned, places that pinned callers may reach and could not, and senders that
/// are believed and were not.
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
    all.extend(unpinned(before, after));
    all.extend(believed(before, after));
    all
}

/// Countries whose callers were pinned and are not, or get another pinned zone.
fn unpinned(before: &Fleet, after: &Fleet) -> Vec<String> {
    let is_pinned = |fleet: &Fleet, country| {
        let zone = zone_of(fleet, country).and_then(|name| fleet.zones.get(name));
        zone.is_some_and(|zone| zone.pinned)
    };
    let moves = countries(before, after);
    let mut all: Vec<String> = moves
        .iter()
        .filter_map(|moved| {
            let lost = moved.countries.iter();
            let lost =
                lost.filter(|country| is_pinned(before, **country) && !is_pinned(after, **country));
            let lost: Vec<String> = lost.map(ToString::to_string).collect();
            (!lost.is_empty())
                .then(|| format!("callers of {} are no longer pinned", lost.join(", ")))
        })
        .collect();
    let unknown = |fleet: &Fleet| match &fleet.unknown_zone {
        UnknownZone::Zone(zone) => fleet.zones.get(zone).is_none_or(|zone| zone.pinned),
        UnknownZone::Refuse => true,
    };
    if unknown(before) && !unknown(after) {
        all.push("callers of unknown zone are no longer pinned or refused".to_owned());
    }
    all
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
