//! What speaks against an intent, with the figures.

use super::{Action, Intents};
use crate::flow::{Path, Want, allot};
use crate::plan::Plan;
use crate::plan::pool_view::PoolView;
use crate::signal::Millis;
use crate::state::FleetState;
use crate::topology::Topology;
use meridian_policy::{ModelName, RegionName, ZoneName};
use std::collections::BTreeMap;
use std::fmt;

/// Requests per second below which nothing is said of capacity.
const MIN_LEFT: f64 = 0.1;

/// What speaks against an intent.
#[derive(Clone, Debug, PartialEq)]
pub enum Objection {
    /// The fleet does not have what it names: the field, its value, and what there is.
    Unknown(&'static str, String, Vec<String>),
    /// A value cannot be: the field, and why.
    Invalid(&'static str, String),
    /// The callers of a zone have no region of a model that is neither drained nor down.
    NoRegion(ZoneName, ModelName),
    /// The regions that remain have less room than would leave.
    NoRoom {
        /// The model.
        model: ModelName,
        /// Requests per second that would leave the region.
        leave: f64,
        /// Requests per second that the others have room for, by region.
        room: BTreeMap<RegionName, f64>,
    },
    /// It would have no effect: the callers of the place have no choice between regions.
    NoChoice,
}

impl Objection {
    /// Whether the intent may be forced in spite of it.
    pub fn may_be_forced(&self) -> bool {
        matches!(self, Self::NoRegion(..) | Self::NoRoom { .. })
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(field, value, known) => {
                let known = known.join(", ");
                write!(f, "{field}: the fleet has no `{value}`; it has: {known}")
            }
            Self::Invalid(field, why) => write!(f, "{field}: {why}"),
            Self::NoRegion(zone, model) => write!(
                f,
                "callers of `{zone}` would have no region with {model} that is neither drained nor down"
            ),
            Self::NoRoom { model, leave, room } => {
                let sum: f64 = room.values().sum();
                write!(
                    f,
                    "{leave:.1} requests/s of {model} would leave, and the others have room for {sum:.1}"
                )?;
                let each = room
                    .iter()
                    .map(|(region, room)| format!("{region} {room:.1}"));
                write!(f, " ({})", each.collect::<Vec<_>>().join(", "))
            }
            Self::NoChoice => f.write_str(
                "callers of this gateway, zone and model have no choice between regions",
            ),
        }
    }
}

/// What speaks against an intent beside others that are in force. Nothing if it may be accepted.
pub fn objections(
    topology: &Topology,
    state: &FleetState,
    others: &Intents,
    prev: &Plan,
    action: &Action,
    now: Millis,
) -> Vec<Objection> {
    match action {
        Action::Freeze {} => Vec::new(),
        Action::Drain { region, model, .. } => {
            let models = match drained_models(topology, region, model.as_ref()) {
                Ok(models) => models,
                Err(unknown) => return vec![unknown],
            };
            let view = PoolView::of(topology, state, others, prev, now);
            models
                .into_iter()
                .flat_map(|model| against_drain(topology, &view, others, region, model, now))
                .collect()
        }
        Action::Override {
            gateway,
            zone,
            model,
            home_share,
            overflow,
        } => against_override(topology, (gateway, zone, model), *home_share, overflow),
    }
}

/// The models of the pools that a drain is about.
fn drained_models<'t>(
    topology: &'t Topology,
    region: &RegionName,
    model: Option<&ModelName>,
) -> Result<Vec<&'t ModelName>, Objection> {
    let unknown_region = || unknown("region", region, topology.regions.keys());
    let pools = &topology
        .regions
        .get(region)
        .ok_or_else(unknown_region)?
        .pools;
    let Some(model) = model else {
        return Ok(pools.keys().collect());
    };
    let known = pools.get_key_value(model);
    let (known, _) = known.ok_or_else(|| unknown("model", model, pools.keys()))?;
    Ok(vec![known])
}

fn unknown<'n, N: fmt::Display + 'n>(
    field: &'static str,
    value: &N,
    known: impl Iterator<Item = &'n N>,
) -> Objection {
    let known = known.map(ToString::to_string).collect();
    Objection::Unknown(field, value.to_string(), known)
}

fn against_drain(
    topology: &Topology,
    view: &PoolView<'_>,
    others: &Intents,
    region: &RegionName,
    model: &ModelName,
    now: Millis,
) -> Vec<Objection> {
    let mut objections = Vec::new();
    let mut zones = Vec::new();
    for (name, zone) in &topology.zones {
        let of_zone = |other: &&RegionName| {
            let known = topology.regions.get(*other);
            zone.regions.contains(*other) && known.is_some_and(|it| it.pools.contains_key(model))
        };
        let regions: Vec<&RegionName> = topology.regions.keys().filter(of_zone).collect();
        if !regions.contains(&region) {
            continue;
        }
        let stays = |other: &&RegionName| {
            *other != region
                && others.drain(other, model, now).is_none()
                && view.serves(other, model)
        };
        let remaining: Vec<&RegionName> = regions.into_iter().filter(stays).collect();
        if remaining.is_empty() {
            objections.push(Objection::NoRegion(name.clone(), model.clone()));
        }
        zones.push((name, remaining));
    }
    objections.extend(no_room(view, region, model, &zones));
    objections
}

/// Whether what leaves a pool has room in the regions that remain for its zones, as far as their capacity is known.
fn no_room(
    view: &PoolView<'_>,
    region: &RegionName,
    model: &ModelName,
    zones: &[(&ZoneName, Vec<&RegionName>)],
) -> Option<Objection> {
    let mut room: BTreeMap<RegionName, f64> = BTreeMap::new();
    for other in zones.iter().flat_map(|(_, remaining)| remaining) {
        room.insert((*other).clone(), view.room(other, model)?);
    }
    let path = |other: &&RegionName| {
        let mut each = room.iter().enumerate();
        let found = each.find(|(_, (name, _))| name == other);
        found.map(|(region, (_, room))| Path {
            region,
            headroom: *room,
            cost: 1.0,
        })
    };
    let leaves = zones.iter().filter(|(_, remaining)| !remaining.is_empty());
    let wants: Vec<Want> = leaves
        .map(|(zone, remaining)| Want {
            amount: view.rate_of_zone(region, model, zone),
            to: remaining.iter().filter_map(path).collect(),
        })
        .collect();
    let leave: f64 = wants.iter().map(|want| want.amount).sum();
    let placed: f64 = allot(&wants).into_iter().flatten().sum();
    (leave - placed > MIN_LEFT).then(|| Objection::NoRoom {
        model: model.clone(),
        leave,
        room,
    })
}

fn against_override(
    topology: &Topology,
    (gateway, zone, model): (&RegionName, &ZoneName, &ModelName),
    home_share: u8,
    overflow: &BTreeMap<RegionName, u32>,
) -> Vec<Objection> {
    if !topology.regions.contains_key(gateway) {
        return vec![unknown("gateway", gateway, topology.regions.keys())];
    }
    if !topology.zones.contains_key(zone) {
        return vec![unknown("zone", zone, topology.zones.keys())];
    }
    if !topology.models().contains(model) {
        return vec![unknown("model", model, topology.models().iter())];
    }
    let Some((_, others)) = topology.choice(zone, model, gateway) else {
        return vec![Objection::NoChoice];
    };
    if home_share > 100 {
        let why = format!("{home_share} is no percentage");
        return vec![Objection::Invalid("home_share", why)];
    }
    if let Some(region) = overflow.keys().find(|region| !others.contains(*region)) {
        return vec![unknown("overflow", region, others.iter())];
    }
    if home_share < 100 && overflow.values().all(|weight| *weight == 0) {
        let why = "a region must take what home does not keep".to_owned();
        return vec![Objection::Invalid("overflow", why)];
    }
    Vec::new()
}
