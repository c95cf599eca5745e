//! What two fleets say differently.

use meridian_policy::country::Country;
use meridian_policy::fleet::{Fallback, Fleet, Pool, Region, UnknownZone, Zone};
use meridian_policy::{ModelName, RegionName, ZoneName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};

/// The fields of two values that differ, with their values.
macro_rules! fields {
    ($prefix:literal, $old:expr, $new:expr, [$($field:ident),*]) => {
        [$(debug(concat!($prefix, ".", stringify!($field)), &$old.$field, &$new.$field)),*]
    };
}

/// A thing that is added, removed or changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// What happens to it.
    pub kind: Kind,
    /// What changes about it, in words.
    pub details: Vec<String>,
}

/// What happens to a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is new.
    Added,
    /// It goes.
    Removed,
    /// It stays, and is not as it was.
    Changed,
}

/// Countries whose callers get another zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The zone before; `None` if no zone has them.
    pub from: Option<ZoneName>,
    /// The zone afterwards.
    pub to: Option<ZoneName>,
    /// The countries.
    pub countries: Vec<Country>,
}

/// The regions that may serve a zone's requests for a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// The zone.
    pub zone: ZoneName,
    /// The model.
    pub model: ModelName,
    /// Regions that it gains.
    pub gains: Vec<RegionName>,
    /// Regions that it loses.
    pub loses: Vec<RegionName>,
    /// Servers of all its regions before and afterwards. Pools whose name is resolved count one.
    pub servers: (usize, usize),
}

/// The countries whose callers get another zone, by both.
pub fn countries(before: &Fleet, after: &Fleet) -> Vec<Move> {
    let mut moves: BTreeMap<_, Vec<Country>> = BTreeMap::new();
    for country in Country::all() {
        let (from, to) = (zone_of(before, country), zone_of(after, country));
        if from != to {
            let countries = moves.entry((from.cloned(), to.cloned()));
            countries.or_default().push(country);
        }
    }
    let moves = moves.into_iter();
    moves
        .map(|((from, to), countries)| Move {
            from,
            to,
            countries,
        })
        .collect()
}

/// The zone of a country's callers.
fn zone_of(fleet: &Fleet, country: Country) -> Option<&ZoneName> {
    let named = fleet
        .zones
        .iter()
        .find(|(_, zone)| zone.countries.contains(&country));
    let rest = || fleet.zones.iter().find(|(_, zone)| zone.rest);
    named.or_else(rest).map(|(name, _)| name)
}

/// Zones that differ.
pub fn zones(before: &Fleet, after: &Fleet) -> Vec<Change> {
    let mut all = changes(&before.zones, &after.zones, |old, new| {
        [
            value("pinned", &old.pinned, &new.pinned),
            set("regions", &old.regions, &new.regions),
            list("fallbacks", &old.fallbacks, &new.fallbacks),
            debug("misdirected", &old.misdirected, &new.misdirected),
            debug("order", &old.order, &new.order),
            debug("failover", &old.failover, &new.failover),
            debug("limits", &old.limits, &new.limits),
            debug("content", &old.content, &new.content),
            // The countries themselves are told apart by themselves.
            differs("countries", &old.countries, &new.countries),
            value("rest", &old.rest, &new.rest),
        ]
    });
    for change in all.iter_mut().filter(|it| it.kind == Kind::Added) {
        let zone = after.zones.get(change.name.as_str());
        change.details = zone.into_iter().flat_map(places).collect();
    }
    all
}

/// Where a new zone's requests go.
fn places(zone: &Zone) -> Vec<String> {
    let none = BTreeSet::new();
    let pinned = zone.pinned.then(|| "pinned".to_owned());
    let regions = set("regions", &none, &zone.regions);
    let fallbacks = list("fallbacks", &[], &zone.fallbacks);
    [pinned, regions, fallbacks].into_iter().flatten().collect()
}

/// Regions that differ, and their pools.
pub fn regions(before: &Fleet, after: &Fleet) -> Vec<Change> {
    let mut all = changes(&before.regions, &after.regions, |old, new| {
        [
            differs("public", &old.public, &new.public),
            differs("gateway", &old.gateway, &new.gateway),
            differs("admin", &old.admin, &new.admin),
            list("nearest", &old.nearest, &new.nearest),
            differs("round_trips", &old.round_trips, &new.round_trips),
            differs("signals", &old.signals, &new.signals),
            debug("price", &old.price, &new.price),
            differs("vector_db", &old.vector_db, &new.vector_db),
            differs("contexts", &old.contexts, &new.contexts),
            differs("health_paths", &old.health_paths, &new.health_paths),
            differs("names_decide", &old.names_decide, &new.names_decide),
            differs("pools", &old.pools, &new.pools),
        ]
    });
    for change in &mut all {
        let of = |fleet: &Fleet| {
            fleet
                .regions
                .get(change.name.as_str())
                .map(|it| it.pools.clone())
        };
        let (old, new) = (
            of(before).unwrap_or_default(),
            of(after).unwrap_or_default(),
        );
        change.details.retain(|detail| detail != "pools");
        change.details.extend(pools(&old, &new));
    }
    all
}

/// Pools that differ, by their servers.
fn pools(before: &BTreeMap<ModelName, Pool>, after: &BTreeMap<ModelName, Pool>) -> Vec<String> {
    let models: BTreeSet<&ModelName> = before.keys().chain(after.keys()).collect();
    let differing = models
        .into_iter()
        .map(|model| (model, before.get(model), after.get(model)))
        .filter(|(_, old, new)| old != new);
    differing
        .map(|(model, old, new)| {
            format!("pool {model}: {} -> {}", servers_of(old), servers_of(new))
        })
        .collect()
}

fn servers_of(pool: Option<&Pool>) -> String {
    match pool {
        None => "none".to_owned(),
        Some(Pool::Dns { host, port }) => format!("{host}:{port}"),
        Some(Pool::Endpoints(all)) => format!("{} servers", all.len()),
    }
}

/// Hosted providers that differ.
pub fn fallbacks(before: &Fleet, after: &Fleet) -> Vec<Change> {
    changes(
        &before.fallbacks,
        &after.fallbacks,
        |old: &Fallback, new| {
            [
                debug("provider", &old.provider, &new.provider),
                differs("models", &old.renames, &new.renames),
                value("host", &old.endpoint.host, &new.endpoint.host),
                differs("endpoint", &old.endpoint, &new.endpoint),
                set("jurisdiction", &old.jurisdiction, &new.jurisdiction),
                differs("api_key", &old.api_key, &new.api_key),
                debug("context", &old.context, &new.context),
                debug("budget", &old.budget, &new.budget),
                debug("price", &old.price, &new.price),
            ]
        },
    )
}

/// Who gains or loses regions: by zone and model. Zones that only one fleet has are in [`zones`].
pub fn reach(before: &Fleet, after: &Fleet) -> Vec<Reach> {
    let models: BTreeSet<&ModelName> = before.models().into_iter().chain(after.models()).collect();
    let both = before
        .zones
        .keys()
        .filter(|zone| after.zones.contains_key(*zone));
    let places = both.flat_map(|zone| models.iter().map(move |model| (zone, *model)));
    let all = places.map(|(zone, model)| {
        let (old, new) = (serving(before, zone, model), serving(after, zone, model));
        let servers = |all: &BTreeMap<&RegionName, usize>| all.values().sum();
        let without = |all: &BTreeMap<&RegionName, usize>,
                       others: &BTreeMap<&RegionName, usize>| {
            let all = all.keys().filter(|region| !others.contains_key(*region));
            all.map(|region| (*region).clone()).collect()
        };
        Reach {
            zone: zone.clone(),
            model: model.clone(),
            gains: without(&new, &old),
            loses: without(&old, &new),
            servers: (servers(&old), servers(&new)),
        }
    });
    all.filter(|reach| {
        let (old, new) = reach.servers;
        old != new || !reach.gains.is_empty() || !reach.loses.is_empty()
    })
    .collect()
}

/// The regions of a zone that have a model, with the numbers of their servers.
fn serving<'f>(
    fleet: &'f Fleet,
    zone: &ZoneName,
    model: &ModelName,
) -> BTreeMap<&'f RegionName, usize> {
    let regions = fleet.zones.get(zone).map(|zone: &Zone| &zone.regions);
    let regions = regions.into_iter().flatten();
    let with_pool = regions.filter_map(|name| {
        let (name, region): (_, &Region) = fleet.regions.get_key_value(name)?;
        Some((name, region.pools.get(model)?))
    });
    with_pool
        .map(|(name, pool)| match pool {
            Pool::Endpoints(all) => (name, all.len()),
            Pool::Dns { .. } => (name, 1),
        })
        .collect()
}

/// Settings of the whole fleet that differ.
pub fn settings(before: &Fleet, after: &Fleet) -> Vec<String> {
    let (old, new) = (before, after);
    let others = [
        value("unknown_zone", &unknown(old), &unknown(new)),
        differs("classify", &old.sources, &new.sources),
        differs("policy.models", &old.own_limits, &new.own_limits),
        differs("policy.balance", &old.balance, &new.balance),
        differs("policy.batch.keys", &old.batch_keys, &new.batch_keys),
        debug("policy.needs_header", &old.needs_header, &new.needs_header),
        value(
            "policy.failover.regions",
            &old.failover.regions,
            &new.failover.regions,
        ),
        differs("control_plane", &old.control_plane, &new.control_plane),
        value(
            "gateways.trust_domain",
            &old.trust_domain,
            &new.trust_domain,
        ),
        differs("gateways.filter", &old.filters, &new.filters),
        value("gateways.access_log", &old.access_log, &new.access_log),
        value("gateways.heap", &old.heap, &new.heap),
    ];
    let others = others.into_iter().flatten();
    others.chain(thresholds(before, after)).collect()
}

/// Limits and thresholds that differ.
fn thresholds(old: &Fleet, new: &Fleet) -> Vec<String> {
    let limits = fields!(
        "policy.limits",
        old.limits,
        new.limits,
        [
            connect,
            first_token,
            unstreamed,
            prefill_rate,
            stream_idle_timeout,
            least_rate,
            answer,
            retries,
            body
        ]
    );
    let overflow = fields!(
        "policy.overflow",
        old.overflow,
        new.overflow,
        [above, back_below, floor, queue_wait, gpu, regions]
    );
    let unhealthy = fields!(
        "policy.unhealthy",
        old.unhealthy,
        new.unhealthy,
        [
            queue_depth,
            first_token_p95,
            error_rate,
            replication_lag,
            signal_ttl
        ]
    );
    let all = limits.into_iter().chain(overflow).chain(unhealthy);
    all.flatten().collect()
}

fn unknown(fleet: &Fleet) -> &str {
    match &fleet.unknown_zone {
        UnknownZone::Zone(zone) => zone.as_str(),
        UnknownZone::Refuse => "refuse",
    }
}

fn changes<K: Ord + Display, V: PartialEq, const N: usize>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
    details: impl Fn(&V, &V) -> [Option<String>; N],
) -> Vec<Change> {
    let names: BTreeSet<&K> = before.keys().chain(after.keys()).collect();
    let all = names.into_iter().filter_map(|name| {
        let (kind, details) = match (before.get(name), after.get(name)) {
            (Some(old), Some(new)) if old == new => return None,
            (Some(old), Some(new)) => (
                Kind::Changed,
                details(old, new).into_iter().flatten().collect(),
            ),
            (None, _) => (Kind::Added, Vec::new()),
            (_, None) => (Kind::Removed, Vec::new()),
        };
        Some(Change {
            name: name.to_string(),
            kind,
            details,
        })
    });
    all.collect()
}

/// A field that differs, without its values.
fn differs<V: PartialEq>(field: &str, old: &V, new: &V) -> Option<String> {
    (old != new).then(|| field.to_owned())
}

fn value<V: PartialEq + Display>(field: &str, old: &V, new: &V) -> Option<String> {
    (old != new).then(|| format!("{field}: {old} -> {new}"))
}

fn debug<V: PartialEq + Debug>(field: &str, old: &V, new: &V) -> Option<String> {
    (old != new).then(|| format!("{field}: {old:?} -> {new:?}"))
}

fn list<V: PartialEq + Display>(field: &str, old: &[V], new: &[V]) -> Option<String> {
    let text = |all: &[V]| {
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        format!("[{}]", all.join(", "))
    };
    (old != new).then(|| format!("{field}: {} -> {}", text(old), text(new)))
}

fn set<V: Ord + Display>(field: &str, old: &BTreeSet<V>, new: &BTreeSet<V>) -> Option<String> {
    let gained = new.difference(old).map(|it| format!("+{it}"));
    let lost = old.difference(new).map(|it| format!("-{it}"));
    let all: Vec<String> = gained.chain(lost).collect();
    (!all.is_empty()).then(|| format!("{field}: {}", all.join(" ")))
}
