//! Random definitions, and random edits of them.

use super::definition::{COUNTRIES, Definition, JURISDICTIONS, Misdirected, Zone};
use crate::world::REGIONS;
use rand::{Rng, RngExt};
use std::collections::BTreeMap;

/// Names that zones take, over and over.
const ZONES: [&str; 4] = ["x", "y", "z", "w"];

/// Names that fallbacks take.
const FALLBACKS: [&str; 3] = ["f", "g", "h"];

/// Sets of limits.
pub const LIMITS: [&str; 3] = [
    "{ first_token: 2s, unstreamed: 2s, connect: 500ms, gap: 4s, answer: 10s, retries: 5000 }",
    "{ first_token: 1500ms, unstreamed: 2s, connect: 500ms, gap: 4s, answer: 10s, retries: 5000 }",
    "{ first_token: 2s, unstreamed: 1500ms, connect: 500ms, gap: 4s, answer: 9s, retries: 5000 }",
];

/// One change of a definition.
type Change = fn(&mut Definition, &mut dyn Rng);

/// Changes, each as often as it is to come up.
const CHANGES: [Change; 27] = [
    swap_zones,
    swap_zones,
    swap_zones,
    swap_zones,
    swap_countries,
    swap_countries,
    swap_countries,
    move_country,
    other_regions,
    other_regions,
    other_regions,
    other_fallbacks,
    other_fallbacks,
    other_provider,
    other_provider,
    other_provider,
    other_provider,
    other_provider,
    other_provider,
    swap_providers,
    swap_providers,
    toggle_pin,
    toggle_pin,
    other_misdirected,
    all_new,
    harmless,
    harmless,
];

/// The next version of a definition: one to three changes of it.
pub fn edited(definition: &Definition, random: &mut dyn Rng) -> Definition {
    let mut next = definition.clone();
    for _ in 0..random.random_range(1..=3) {
        CHANGES[random.random_range(0..CHANGES.len())](&mut next, random);
    }
    next
}

/// A definition without regard to any before it.
pub fn anew(random: &mut dyn Rng) -> Definition {
    let count = random.random_range(2..=ZONES.len());
    let rest = random.random_range(0..count);
    let mut zones = BTreeMap::new();
    for (at, name) in ZONES.into_iter().take(count).enumerate() {
        zones.insert(name, zone(at == rest, random));
    }
    for country in COUNTRIES {
        let zone = ZONES[random.random_range(0..count)];
        if let Some(zone) = zones.get_mut(zone) {
            zone.countries.push(country);
        }
    }
    let fallbacks = FALLBACKS.map(|name| (name, random.random_range(0..JURISDICTIONS.len())));
    Definition {
        zones,
        unknown_zone: ZONES[random.random_range(0..count)],
        fallbacks: fallbacks.into(),
        limits: random.random_range(0..LIMITS.len()),
        reversed: random.random_ratio(1, 2),
    }
}

fn zone(rest: bool, random: &mut dyn Rng) -> Zone {
    let pinned = random.random_ratio(2, 3);
    let most = if pinned { 2 } else { 3 };
    let count = random.random_range(1..=most);
    Zone {
        countries: Vec::new(),
        rest,
        pinned,
        regions: some(&REGIONS, count, random),
        fallbacks: {
            // One at least, mostly.
            let count = random.random_range(0..=5_usize).div_ceil(2).min(2);
            some(&FALLBACKS, count, random)
        },
        misdirected: misdirected(random),
    }
}

/// So many of these, in random order.
fn some(all: &[&'static str], count: usize, random: &mut dyn Rng) -> Vec<&'static str> {
    let mut left = all.to_vec();
    let mut chosen = Vec::new();
    for _ in 0..count.min(all.len()) {
        chosen.push(left.swap_remove(random.random_range(0..left.len())));
    }
    chosen
}

fn misdirected(random: &mut dyn Rng) -> Misdirected {
    let all = [
        Misdirected::Refuse,
        Misdirected::Redirect,
        Misdirected::Forward,
        Misdirected::Forward,
    ];
    all[random.random_range(0..all.len())]
}

/// The names of two zones of a definition; equal if it has one only.
fn two(definition: &Definition, random: &mut dyn Rng) -> (&'static str, &'static str) {
    let names: Vec<_> = definition.zones.keys().copied().collect();
    let first = random.random_range(0..names.len());
    let step = random.random_range(0..names.len().max(2) - 1) + 1;
    (names[first], names[(first + step) % names.len()])
}

fn exchanged(
    definition: &mut Definition,
    random: &mut dyn Rng,
    exchange: impl FnOnce(&mut Zone, &mut Zone),
) {
    let (a, b) = two(definition, random);
    let (Some(mut one), Some(mut other)) = (definition.zones.remove(a), definition.zones.remove(b))
    else {
        return;
    };
    exchange(&mut one, &mut other);
    definition.zones.extend([(a, one), (b, other)]);
}

/// Two names change their meaning.
fn swap_zones(definition: &mut Definition, random: &mut dyn Rng) {
    exchanged(definition, random, std::mem::swap);
}

/// Two zones exchange their callers.
fn swap_countries(definition: &mut Definition, random: &mut dyn Rng) {
    exchanged(definition, random, |one, other| {
        std::mem::swap(&mut one.countries, &mut other.countries);
        std::mem::swap(&mut one.rest, &mut other.rest);
    });
}

fn move_country(definition: &mut Definition, random: &mut dyn Rng) {
    exchanged(definition, random, |one, other| {
        other.countries.extend(one.countries.pop());
    });
}

fn one_zone(definition: &mut Definition, random: &mut dyn Rng, change: impl FnOnce(&mut Zone)) {
    let (name, _) = two(definition, random);
    if let Some(zone) = definition.zones.get_mut(name) {
        change(zone);
    }
}

fn other_regions(definition: &mut Definition, random: &mut dyn Rng) {
    let count = random.random_range(1..=2);
    let regions = some(&REGIONS, count, random);
    one_zone(definition, random, |zone| zone.regions = regions);
}

fn other_fallbacks(definition: &mut Definition, random: &mut dyn Rng) {
    let count = random.random_range(0..=5_usize).div_ceil(2).min(2);
    let fallbacks = some(&FALLBACKS, count, random);
    one_zone(definition, random, |zone| zone.fallbacks = fallbacks);
}

/// A fallback's name comes to mean another provider.
fn other_provider(definition: &mut Definition, random: &mut dyn Rng) {
    let name = FALLBACKS[random.random_range(0..FALLBACKS.len())];
    let provider = random.random_range(0..JURISDICTIONS.len());
    definition.fallbacks.insert(name, provider);
}

fn swap_providers(definition: &mut Definition, random: &mut dyn Rng) {
    let names = some(&FALLBACKS, 2, random);
    let providers = [names[0], names[1]].map(|name| definition.fallbacks[name]);
    let swapped = [(names[0], providers[1]), (names[1], providers[0])];
    definition.fallbacks.extend(swapped);
}

fn toggle_pin(definition: &mut Definition, random: &mut dyn Rng) {
    one_zone(definition, random, |zone| zone.pinned = !zone.pinned);
}

fn other_misdirected(definition: &mut Definition, random: &mut dyn Rng) {
    let other = misdirected(random);
    one_zone(definition, random, |zone| zone.misdirected = other);
}

fn all_new(definition: &mut Definition, random: &mut dyn Rng) {
    *definition = anew(random);
}

/// Nothing that has to do with residency.
fn harmless(definition: &mut Definition, random: &mut dyn Rng) {
    definition.limits = random.random_range(0..LIMITS.len());
    definition.reversed = random.random_ratio(1, 2);
}
