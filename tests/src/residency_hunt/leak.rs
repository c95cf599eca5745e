//! A leak, for a person.

use super::caller::Ended;
use super::definition::Definition;
use super::judge::{Caller, Place, is_allowed, zone_of};
use super::sightings::Sighting;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

/// Later definitions that are shown, and that a place may be explained by.
const LATER: usize = 6;

/// A request that was at places which no possible definition allowed together.
#[derive(Clone, Debug)]
pub struct Leak {
    /// When it was sent, in milliseconds since the hunt began.
    pub sent_at: u64,
    /// When the last place saw it.
    pub last_seen_at: u64,
    /// What kind of place should not have seen it, and how it came there.
    pub kind: String,
    /// Whether neither the fleet file nor a worker that is late explains it.
    pub is_sure: bool,
    text: String,
}

/// What a leak is described by.
pub struct Case<'c> {
    /// The request.
    pub ended: &'c Ended,
    /// What was seen of it, the earliest first.
    pub seen: &'c [Sighting],
    /// By when it was decided.
    pub decided: u64,
    /// The generations that the decision can have been made by.
    pub generations: (u32, u32),
    /// Whether all places were allowed by one definition that was in the fleet file when the request was decided, though the filter
    /// did not have it.
    pub as_written: bool,
    /// The time by which a worker of the gateway would have to be late for it to be no leak, in milliseconds.
    pub clean_if_late: Option<u64>,
    /// What was published.
    pub definitions: &'c BTreeMap<u32, Definition>,
}

impl Case<'_> {
    /// The places that a definition does not allow.
    fn bad(&self, definition: &Definition) -> BTreeSet<Place> {
        let places = self.seen.iter().map(|sighting| sighting.place);
        let caller = self.ended.call.caller;
        let bad = places.filter(|place| !is_allowed(definition, caller, *place));
        bad.collect()
    }

    fn possible(&self) -> impl Iterator<Item = (&u32, &Definition)> {
        let (least, greatest) = self.generations;
        self.definitions.range(least..=greatest.max(least))
    }

    /// The definition under which the fewest places are bad is the likeliest one.
    fn kind(&self) -> String {
        let likeliest = self
            .possible()
            .map(|(_, definition)| definition)
            .min_by_key(|definition| self.bad(definition).len());
        let Some(definition) = likeliest else {
            return "no definition is possible".into();
        };
        let bad = self.bad(definition);
        let first = self.seen.first().map(|sighting| sighting.place);
        let when = if first.is_some_and(|first| bad.contains(&first)) {
            "at once"
        } else {
            "by a retry"
        };
        let kinds = bad.iter().map(|place| match place {
            Place::Pool(_) => "a pool",
            Place::Peer(_) => "a peer's gateway",
            Place::Provider(provider) if self.is_by_name(definition, *provider) => {
                "another provider by a fallback's name"
            }
            Place::Provider(_) => "a provider",
        });
        let kinds: BTreeSet<&str> = kinds.collect();
        let kinds: Vec<&str> = kinds.into_iter().collect();
        let doubt = match self.clean_if_late {
            _ if self.as_written => ", as the file said already",
            Some(_) => ", unless a worker was very late",
            None => "",
        };
        format!("{when}: {}{doubt}", kinds.join(" and "))
    }

    /// Whether a provider is what a fallback of the caller's zone means under a definition shortly before or after.
    fn is_by_name(&self, decided: &Definition, provider: usize) -> bool {
        let Caller { country, .. } = self.ended.call.caller;
        let names = zone_of(decided, country).map(|(_, zone)| &zone.fallbacks);
        let (least, greatest) = self.generations;
        let from = least.saturating_sub(1);
        let around = self.definitions.range(from..=greatest + LATER as u32);
        let mut named = around.flat_map(|(_, definition)| {
            let names = names.into_iter().flatten();
            names.filter_map(|name| definition.fallbacks.get(name))
        });
        named.any(|other| *other == provider)
    }

    fn text(&self) -> String {
        let (call, heard) = (&self.ended.call, &self.ended.heard);
        let since = |at: u64| at.saturating_sub(self.ended.sent_at);
        let mut text = format!(
            "request {} from {} at {}: {} ({:?}, body over {} ms), decided by {} ms, ended after {} ms: status {:?} {:?} by `{}`\n  decision: {}\n",
            call.id,
            call.caller.country.unwrap_or("nowhere"),
            call.caller.gateway,
            call.path,
            call.framing,
            call.trickle_ms,
            since(self.decided),
            since(self.ended.ended_at),
            heard.status,
            self.ended.failure,
            heard.by,
            heard.decision,
        );
        let sent = self.ended.sent_at as f64 / 1000.0;
        let _ = match self.clean_if_late {
            Some(late) => writeln!(
                text,
                "  sent after {sent:.1} s; clean if a worker was late by {late} ms more"
            ),
            None => writeln!(
                text,
                "  sent after {sent:.1} s; not clean however late a worker was"
            ),
        };
        for Sighting { place, part, at } in self.seen {
            let _ = writeln!(text, "  after {} ms {place:?} saw its {part:?}", since(*at));
        }
        for (generation, definition) in self.possible() {
            let zone = zone_of(definition, call.caller.country);
            let zone = zone.map_or("none", |(name, _)| name);
            let bad = self.bad(definition);
            let _ = writeln!(
                text,
                "  generation {generation}: zone {zone}, not allowed: {bad:?}; {definition}"
            );
        }
        text + &self.around()
    }

    /// The definitions shortly before and after.
    fn around(&self) -> String {
        let (least, greatest) = self.generations;
        let before = self.definitions.range(..least).rev().take(1);
        let later = self.definitions.range(greatest + 1..).take(LATER);
        let mut text = String::new();
        for (generation, definition) in before.chain(later) {
            let known = &generation.cmp(&least);
            let when = if known.is_lt() { "earlier" } else { "later" };
            let _ = writeln!(text, "  {when}, generation {generation}: {definition}");
        }
        text
    }
}

impl Leak {
    /// Describes it.
    pub fn new(case: &Case<'_>) -> Self {
        let last = case.seen.last();
        Self {
            sent_at: case.ended.sent_at,
            last_seen_at: last.map_or(case.ended.ended_at, |sighting| sighting.at),
            kind: case.kind(),
            is_sure: !case.as_written && case.clean_if_late.is_none(),
            text: case.text(),
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
            kind: String::new(),
            is_sure: true,
            text: String::new(),
        }
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.kind, self.text)
    }
}
