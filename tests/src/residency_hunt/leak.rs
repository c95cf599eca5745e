//! A leak, for a person.

use super::caller::Ended;
use super::definition::Definition;
use super::judge::{Place, is_allowed, zone_of};
use super::sightings::Sighting;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// A request that was at places which no possible definition allowed together.
#[derive(Clone, Debug)]
pub struct Leak {
    /// When it was sent, in milliseconds since the hunt began.
    pub sent_at: u64,
    /// When the last place saw it.
    pub last_seen_at: u64,
    text: String,
}

impl Leak {
    /// Describes it.
    pub fn new(
        ended: &Ended,
        seen: &[Sighting],
        decided: u64,
        (least, greatest): (u32, u32),
        definitions: &BTreeMap<u32, Definition>,
    ) -> Self {
        let (call, heard) = (&ended.call, &ended.heard);
        let since = |at: u64| at.saturating_sub(ended.sent_at);
        let mut text = format!(
            "request {} from {} at {}: {} ({:?}, body over {} ms), decided by {} ms, ended after {} ms: status {:?} {:?} by `{}`\n  decision: {}\n",
            call.id,
            call.caller.country.unwrap_or("nowhere"),
            call.caller.gateway,
            call.path,
            call.framing,
            call.trickle_ms,
            since(decided),
            since(ended.ended_at),
            heard.status,
            ended.failure,
            heard.by,
            heard.decision,
        );
        for sighting in seen {
            let Sighting { place, part, at } = sighting;
            let _ = writeln!(text, "  after {} ms {place:?} saw its {part:?}", since(*at));
        }
        for (generation, definition) in definitions.range(least..=greatest) {
            let zone = zone_of(definition, call.caller.country);
            let zone = zone.map_or("none", |(name, _)| name);
            let bad = seen
                .iter()
                .map(|sighting| sighting.place)
                .filter(|place| !is_allowed(definition, call.caller, *place));
            let bad: std::collections::BTreeSet<Place> = bad.collect();
            let _ = writeln!(
                text,
                "  generation {generation}: zone {zone}, not allowed: {bad:?}; {definition}"
            );
        }
        for (generation, definition) in definitions.range(greatest + 1..).take(3) {
            let _ = writeln!(text, "  later, generation {generation}: {definition}");
        }
        Self {
            sent_at: ended.sent_at,
            last_seen_at: seen.last().map_or(ended.ended_at, |sighting| sighting.at),
            text,
        }
    }
}

#[cfg(test)]
impl Leak {
    /// One with these times.
    pub fn at(sent_at: u64, last_seen_at: u64) -> Self {
        Self {
            sent_at,
            last_seen_at,
            text: String::new(),
        }
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}
