//! Tiers: requests that somebody waits for, and those that can wait. Batch takes what interactive callers leave: it goes where it is
//! cheapest, leaves a region before they do, and is told to come later where nothing is left.

use crate::chain::{Member, chain};
use crate::fleet::{Fleet, Order, Overflow};
use crate::headers::TIER;
use crate::name::{ModelName, RegionName, ZoneName};
use crate::placement::Utilization;
use crate::plan::Plan;
use crate::signal::Millis;
use crate::weights::{self, TOTAL_WEIGHT};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// Somebody does.
    #[default]
    Interactive,
    /// Nobody does at this moment.
    Batch,
}

/// The tier of a request: batch where its API key is one of those, and otherwise what it says itself. `keys`: SHA-256 in hex.
///
/// # Errors
/// It says something that is no tier.
pub fn tier(request: &[(String, String)], keys: &BTreeSet<String>) -> Result<Tier, String> {
    let mut tier = Tier::Interactive;
    let said = request
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(TIER));
    for (_, value) in said {
        match value.trim() {
            value if value.eq_ignore_ascii_case("batch") => tier = Tier::Batch,
            value if value.eq_ignore_ascii_case("interactive") => {}
            other => return Err(other.to_owned()),
        }
    }
    let by_key = !keys.is_empty() && request.iter().any(|header| is_one_of(header, keys));
    Ok(if by_key { Tier::Batch } else { tier })
}

fn is_one_of((name, value): &(String, String), keys: &BTreeSet<String>) -> bool {
    let key = match name.as_str() {
        "authorization" => match value.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim(),
            _ => return false,
        },
        "x-api-key" | "api-key" => value.trim(),
        _ => return false,
    };
    keys.contains(&digest(key))
}

/// SHA-256 of an API key, in hex.
pub fn digest(key: &str) -> String {
    let bytes = Sha256::digest(key.as_bytes());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a gate closes by where batch is in the way, in percent; a region that is far too full closes it at once.
const CLOSES: u8 = 25;
/// What it opens by.
const OPENS: u8 = 20;
/// It opens where utilization is below this part of what closes it.
const CALM: f64 = 0.85;
/// It opens so many times more slowly than it closes.
const SLOWER: u32 = 3;

/// How much of what batch brings a region's pool takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// In percent.
    pub open: u8,
    /// When that changed.
    pub since: Millis,
}

/// What a gate sees of its pool.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// If known.
    pub utilization: Option<Utilization>,
    /// It has sources that were not heard lately.
    pub silent: bool,
    /// Interactive callers are better off elsewhere.
    pub sick: bool,
    /// Batch is there.
    pub batch: bool,
    /// How long it takes until a change is seen.
    pub settles: Duration,
}

/// The gate that follows one; `None` is an open one. Batch leaves where utilization stays above where interactive callers would come
/// back, so that it has left before they have to.
pub fn next(gate: Option<Gate>, limits: &Overflow, seen: &Seen, now: Millis) -> Option<Gate> {
    let open = gate.map_or(100, |gate| gate.open.min(100));
    let to = |open: u8| (open < 100).then_some(Gate { open, since: now });
    let rests = gate.map(|gate| now.since(gate.since));
    let settled = |times: u32| rests.is_none_or(|rests| rests >= seen.settles * times);
    if seen.sick {
        return if open == 0 { gate } else { to(0) };
    }
    let may_open = open < 100 && !seen.silent && settled(SLOWER);
    let opened = || to((open + OPENS).min(100));
    let Some(utilization) = seen.utilization else {
        // Where nothing measures its load, its health alone decides; what is silent stays as it is.
        return if may_open { opened() } else { gate };
    };
    let yields = limits.back_below;
    if open > 0 && utilization.now > f64::midpoint(limits.above, 1.0) {
        return to(0);
    }
    if open > 0 && utilization.low > yields && settled(1) {
        // Where there is none, nothing has to be done step by step.
        return to(if seen.batch {
            open.saturating_sub(CLOSES)
        } else {
            0
        });
    }
    if may_open && utilization.peak < CALM * yields {
        return opened();
    }
    gate
}

/// What becomes of batch requests for a (zone, model) at a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Percent of them that are served.
    pub admitted: u8,
    /// Where, by weight: the cheapest region that takes any comes first, and of those that cost as much the nearest. Where a
    /// zone has fixed parts, each region has its own.
    pub weights: BTreeMap<RegionName, u32>,
}

/// Of a plan; `None` where no region serves them.
pub fn batch(
    fleet: &Fleet,
    plan: &Plan,
    zone: &ZoneName,
    model: &ModelName,
    gateway: &RegionName,
) -> Option<Batch> {
    let members = chain(fleet, zone, model, gateway);
    let mut regions: Vec<&RegionName> = members.iter().filter_map(Member::region).collect();
    let first = *regions.first()?;
    let price = |region: &RegionName| {
        let region = fleet.regions.get(region);
        region.and_then(|region| region.price).unwrap_or_default()
    };
    regions.sort_by(|one, other| price(one).total_cmp(&price(other)));
    // As for everybody, the part of a region that serves nobody is the others'.
    let fixed = |region: &RegionName| match &fleet.zones.get(zone)?.order {
        Order::Weighted(parts) if plan.serves(region, model) => parts.get(region).copied(),
        Order::Weighted(_) | Order::Nearest | Order::Priority(_) => None,
    };
    let all: u32 = regions.iter().filter_map(|region| fixed(region)).sum();
    let mut parts = Vec::new();
    let mut left = 1.0;
    for region in regions {
        // Where no region that serves has a fixed part, they are asked as if there were none.
        let offered = match all {
            0 => left,
            _ => f64::from(fixed(region).unwrap_or(0)) / f64::from(all),
        };
        let takes = offered * f64::from(plan.batch_gate(region, model)) / 100.0;
        left -= takes;
        parts.push((region, takes));
    }
    let mut weights = weights::whole(parts);
    if weights.is_empty() {
        weights.insert(first.clone(), TOTAL_WEIGHT);
    }
    Some(Batch {
        admitted: ((1.0 - left) * 100.0).round().clamp(0.0, 100.0) as u8,
        weights,
    })
}
