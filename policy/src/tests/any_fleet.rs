//! Arbitrary fleets that the fleet file's loader would let through.

use super::fleets::{LLAMA, MISTRAL, fallback, fleet, names, region, retrieves, source, zone};
use crate::country::Country;
use crate::fleet::{Fleet, Gives, Misdirected, Order, Region, UnknownZone, Zone, ZoneSource};
use crate::retrieval::Role;
use crate::{FallbackName, RegionName};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// Models of arbitrary fleets; not every fleet has each.
pub const MODELS: [&str; 3] = [LLAMA, MISTRAL, "qwen"];
/// Zones of arbitrary fleets.
pub const ZONES: [&str; 4] = ["eea", "uk", "us", "rest-of-it"];
/// Countries that arbitrary fleets give to zones, or to none.
pub const COUNTRIES: [&str; 6] = ["DE", "FR", "GB", "US", "CH", "JP"];
/// Headers that arbitrary fleets read, each with what it gives.
pub const SOURCES: [(&str, Gives); 3] = [
    ("x-tenant-zone", Gives::Zone),
    ("cf-ipcountry", Gives::Country),
    ("x-geo", Gives::Country),
];
const REGIONS: [&str; 5] = [
    "us-west-2",
    "us-east-1",
    "eu-west-1",
    "eu-central-1",
    "ap-1",
];
const FALLBACKS: [&str; 3] = ["claude", "claude-eu", "other"];
/// Addresses that sources of arbitrary fleets trust, if any.
pub const NETWORKS: [&[&str]; 3] = [
    &["10.0.0.0/8"],
    &["10.0.0.0/8", "fd00::/8"],
    &["192.0.2.7/32"],
];

/// Any fleet that the loader would let through.
pub fn fleets() -> impl Strategy<Value = Fleet> {
    let regions = (1..=REGIONS.len()).prop_flat_map(|count| {
        let all: Vec<_> = (0..count).map(|index| region_of(index, count)).collect();
        all
    });
    let fallbacks = prop::collection::vec(prop::sample::select(jurisdictions()), 0..=3);
    (regions, fallbacks)
        .prop_flat_map(|(regions, fallbacks)| {
            let zones =
                prop::collection::vec(any_zone(regions.len(), fallbacks.len()), 1..=ZONES.len());
            (Just(regions), Just(fallbacks), zones)
        })
        .prop_flat_map(|(regions, fallbacks, zones)| {
            let some_zone = || prop::option::of(0..zones.len());
            let owners = prop::collection::vec(some_zone(), COUNTRIES.len());
            let rest = some_zone();
            let unknown = some_zone();
            (
                Just((regions, fallbacks, zones)),
                owners,
                rest,
                unknown,
                any_sources(),
            )
        })
        .prop_map(
            |((regions, fallbacks, zones), owners, rest, unknown, sources)| {
                let mut fleet = fleet();
                fleet.regions = REGIONS
                    .iter()
                    .map(|name| (*name).into())
                    .zip(regions)
                    .collect();
                fleet.fallbacks = FALLBACKS
                    .iter()
                    .zip(&fallbacks)
                    .map(|(name, jurisdiction)| ((*name).into(), fallback(jurisdiction)))
                    .collect();
                fleet.zones = ZONES.iter().map(|name| (*name).into()).zip(zones).collect();
                for (country, owner) in COUNTRIES.iter().zip(owners) {
                    if let Some(owner) = owner {
                        let zone = fleet.zones.get_mut(ZONES[owner]).unwrap();
                        zone.countries.insert(Country::parse(country).unwrap());
                    }
                }
                if let Some(rest) = rest {
                    fleet.zones.get_mut(ZONES[rest]).unwrap().rest = true;
                }
                fleet.unknown_zone = unknown.map_or(UnknownZone::Refuse, |zone| {
                    UnknownZone::Zone(ZONES[zone].into())
                });
                fleet.sources = sources;
                keep_residency(&mut fleet);
                fleet
            },
        )
}

/// Drops the fallbacks that a pinned zone must not have, and makes only pinned zones misdirect.
pub fn keep_residency(fleet: &mut Fleet) {
    for (name, zone) in &mut fleet.zones {
        if zone.pinned {
            let own = BTreeSet::from([name.to_string()]);
            zone.fallbacks
                .retain(|fallback| fleet.fallbacks[fallback].jurisdiction == own);
        } else {
            zone.misdirected = Misdirected::Refuse;
        }
    }
}

fn jurisdictions() -> Vec<&'static str> {
    ZONES.into_iter().chain(["global"]).collect()
}

fn region_of(index: usize, count: usize) -> impl Strategy<Value = Region> {
    let others: Vec<RegionName> = (0..count)
        .filter(|other| *other != index)
        .map(|other| REGIONS[other].into())
        .collect();
    let models = prop::sample::subsequence(MODELS.to_vec(), 0..=MODELS.len());
    let role = prop::sample::select(vec![Role::Primary, Role::Replica]);
    let database = prop::option::of(role.prop_map(retrieves));
    let price = prop::option::of(0.0..2.0f64);
    let ways = prop::collection::vec(prop::option::of(1..300u64), others.len());
    let others = Just(others).prop_shuffle();
    (others, ways, models, any::<bool>(), database, price).prop_map(
        move |(nearest, ways, models, has_url, vector_db, price)| {
            let known = nearest.iter().zip(ways);
            let known = known.filter_map(|(other, way)| Some((other.clone(), way?)));
            let round_trips = known.map(|(other, ms)| (other, Duration::from_millis(ms)));
            let round_trips = round_trips.collect();
            let url = has_url.then(|| format!("https://{}.llm.example.com", REGIONS[index]));
            Region {
                price,
                vector_db,
                round_trips,
                ..region(nearest, models, url)
            }
        },
    )
}

fn any_zone(regions: usize, fallbacks: usize) -> impl Strategy<Value = Zone> {
    let regions = prop::sample::subsequence(REGIONS[..regions].to_vec(), 1..=regions);
    let fallbacks =
        prop::sample::subsequence(FALLBACKS[..fallbacks].to_vec(), 0..=fallbacks).prop_shuffle();
    let misdirected = prop::sample::select(vec![
        Misdirected::Refuse,
        Misdirected::Redirect,
        Misdirected::Forward,
    ]);
    (any::<bool>(), regions, fallbacks, misdirected, any_order()).prop_map(
        |(pinned, regions, fallbacks, misdirected, order)| Zone {
            pinned,
            regions: names(&regions).collect(),
            fallbacks: names::<FallbackName>(&fallbacks).collect(),
            misdirected,
            order,
            ..zone()
        },
    )
}

/// Of regions that a zone may not use nothing follows.
fn any_order() -> impl Strategy<Value = Order> {
    let some = || prop::sample::subsequence(REGIONS.to_vec(), 1..=3);
    let weights = (some(), prop::collection::vec(0..10u32, 3));
    prop_oneof![
        Just(Order::Nearest),
        some().prop_map(|order| Order::Priority(names(&order).collect())),
        weights
            .prop_map(|(regions, weights)| Order::Weighted(names(&regions).zip(weights).collect())),
    ]
}

fn any_sources() -> impl Strategy<Value = Vec<ZoneSource>> {
    let sources = prop::sample::subsequence(SOURCES.to_vec(), 0..=SOURCES.len()).prop_shuffle();
    let networks = prop::collection::vec(prop::sample::select(NETWORKS.to_vec()), SOURCES.len());
    (sources, networks).prop_map(|(sources, networks)| {
        let sources = sources.into_iter().zip(networks);
        sources
            .map(|((header, gives), networks)| source(header, gives, networks))
            .collect()
    })
}
