//! The filter's policy: what one gateway's filter needs of the fleet, as the JSON that travels in Envoy's
//! configuration. It is readable in a config dump, and can be written by hand.

use crate::chain::{Member, chain, has_another};
use crate::country::Country;
use crate::fleet::{Fleet, Misdirected, Order, UnknownZone, Zone, ZoneSource};
use crate::name::{ModelName, RegionName, ZoneName};
use crate::needs::Fresh;
use crate::pace::{self, Pace};
use crate::patience::Patience;
use crate::plan::{Plan, regions_of};
use crate::slots::Balance;
use crate::tier;
use crate::weights::TOTAL_WEIGHT;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One gateway's policy. A field that a filter does not know could hold a restriction, so it refuses the whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterPolicy {
    /// The home region.
    pub region: RegionName,
    /// Where a caller's zone is read from, the most telling first.
    pub sources: Vec<ZoneSource>,
    /// The zone of each country that a zone names.
    pub countries: BTreeMap<Country, ZoneName>,
    /// The zone of all other countries.
    pub rest_of_world: Option<ZoneName>,
    /// What becomes of callers that no source places.
    pub unknown_zone: UnknownZone,
    /// What each zone may do here.
    pub zones: BTreeMap<ZoneName, ZoneRule>,
    /// API keys whose requests are batch: SHA-256, in hex.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub batch_keys: BTreeSet<String>,
    /// Another header by which callers say what they need, besides [`crate::headers::NEEDS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_header: Option<String>,
    /// How each pool of this region balances over its servers.
    #[serde(default)]
    pub pools: BTreeMap<ModelName, Balance>,
    /// How long the shares below hold, if not for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

/// How long a gateway acts on what it was told. Past it every request goes home first: a plan that nobody renews may be
/// about a fleet that is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// When it was given, in seconds since the Unix epoch: for people, and to make each renewal another policy.
    pub given: u64,
    /// How long it runs from its arrival, by the gateway's own clock, in milliseconds.
    pub runs_ms: u64,
}

/// What a zone's callers may do at this gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneRule {
    /// Whether its requests never leave its regions and fallbacks.
    pub pinned: bool,
    /// Set where its callers must not be served from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_away: Option<TurnAway>,
    /// The models that it can have here.
    #[serde(default)]
    pub models: BTreeMap<ModelName, ModelRule>,
}

/// Where a zone's requests for a model go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRule {
    /// The lane that leads to it.
    pub lane: Lane,
    /// Set where another region may take some of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Set while some region that could serve them is known to have no fresh data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<Fresh>,
    /// While none is, nothing tells of some whether they have.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fresh_unknown: bool,
    /// What becomes of batch requests.
    #[serde(default, skip_serializing_if = "BatchRule::is_default")]
    pub batch: BatchRule,
    /// How long an attempt may be silent; set where somebody else can be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<Patience>,
}

/// What becomes of batch requests for a (zone, model).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchRule {
    /// Percent of them that are served; the others are told to come later.
    pub admitted: u8,
    /// Some of them go to the region that the home lane leads to.
    pub at_first: bool,
    /// Percent of them that are served while that region presses: no more than any of those that take them then lets in.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub elsewhere: u8,
    /// What each other region has of them, in percent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<RegionName, u32>,
}

fn all() -> u8 {
    100
}

fn is_all(percent: &u8) -> bool {
    *percent == all()
}

impl Default for BatchRule {
    fn default() -> Self {
        Self {
            admitted: all(),
            at_first: true,
            elsewhere: all(),
            others: BTreeMap::new(),
        }
    }
}

impl BatchRule {
    /// The part of them that does not go where others would refuse it, 0 to 1. `cooling`: what part a region refuses.
    pub fn not_refused(&self, cooling: impl Fn(&RegionName) -> f64) -> f64 {
        let each = self.others.iter();
        let refused = each.map(|(region, weight)| f64::from(*weight) * cooling(region));
        (1.0 - refused.sum::<f64>() / f64::from(TOTAL_WEIGHT)).max(0.0)
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn of(
        fleet: &Fleet,
        plan: &Plan,
        zone: &ZoneName,
        model: &ModelName,
        home: &RegionName,
    ) -> Self {
        let first = chain(fleet, zone, model, home).into_iter().next();
        let batch = tier::batch(fleet, plan, zone, model, home);
        let overflow = plan.placement(home, zone, model);
        let overflow = overflow.into_iter().flat_map(|of| of.overflow.keys());
        let elsewhere = overflow.map(|region| plan.batch_gate(region, model)).min();
        batch
            .zip(first)
            .map_or_else(Self::default, |(batch, first)| {
                let mut others = batch.weights;
                let of_first = others.remove(&RegionName::from(first.answers_as()));
                Self {
                    admitted: batch.admitted,
                    at_first: of_first.is_some(),
                    elsewhere: elsewhere.unwrap_or_else(all),
                    others,
                }
            })
    }
}

/// What the first region keeps; the rest takes the overflow lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The region that the home lane leads to.
    pub first: RegionName,
    /// Percent of the requests that it keeps.
    pub home_share: u8,
    /// Percent that it keeps even while it refuses requests for lack of room.
    #[serde(default)]
    pub floor: u8,
    /// The regions that the overflow lane leads to, by weight.
    #[serde(default)]
    pub overflow: BTreeMap<RegionName, u32>,
    /// The share is a fixed part: load moves nobody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fixed: bool,
}

impl Split {
    /// How much less the first region gets at this moment, because of what gateways see of it and of the others. `cooling`:
    /// what part a region refuses; `full`: what part of its requests is too much, by its own word; `pace`: how soon it gives first
    /// tokens.
    pub fn less(
        &self,
        cooling: impl Fn(&RegionName) -> f64,
        full: impl Fn(&RegionName) -> f64,
        pace: impl Fn(&RegionName) -> Pace,
        now_ms: u64,
    ) -> Less {
        let all: u32 = self.overflow.values().sum();
        if self.fixed || all == 0 {
            return Less::default();
        }
        let each = self.overflow.iter();
        let refuse = each.map(|(region, weight)| f64::from(*weight) * cooling(region));
        // Nobody is sent to whom would refuse them, however soon that is said.
        let take = (1.0 - refuse.sum::<f64>() / f64::from(all)).max(0.0);
        let others: Vec<(Pace, u32)> = self
            .overflow
            .iter()
            .map(|(region, weight)| (pace(region), *weight))
            .collect();
        let others = others.iter().map(|(pace, weight)| (pace, *weight));
        Less {
            cooling: take * cooling(&self.first),
            full: take * full(&self.first),
            pressure: take * pace::pressure(&pace(&self.first), others, now_ms),
        }
    }
}

/// How much less a first region gets than its share, 0 to 1; the more of both counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Less {
    /// Because it had no room a moment ago, and others had.
    pub cooling: f64,
    /// Because its servers say that they are too full: not less than the share, which may follow from it, but less than all.
    pub full: f64,
    /// Because first tokens come sooner elsewhere.
    pub pressure: f64,
}

impl Less {
    /// What counts, of what lowers the share.
    pub fn most(self) -> f64 {
        self.cooling.max(self.pressure)
    }
}

/// How a misdirected caller is turned away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnAway {
    /// 421 naming these gateways (URLs, or regions without one), the nearest first.
    Refuse(Vec<String>),
    /// 307 to this gateway's URL.
    Redirect(String),
}

/// Where the filter sends a request first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// The home chain: home's pool, or the nearest region that has the model.
    Home,
    /// Another region first, by weight: home sheds.
    Overflow,
    /// A region by weight, home or another: the request can wait.
    Batch,
    /// Another region first, by weight, whose data is fresh: the request needs it, and home's is not, or home sheds.
    Fresh,
    /// Straight to the fallbacks: no region that the zone may use has the model.
    Fallback,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Home,
        Self::Overflow,
        Self::Batch,
        Self::Fresh,
        Self::Fallback,
    ];

    /// The value of the lane header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Overflow => "overflow",
            Self::Batch => "batch",
            Self::Fresh => "fresh",
            Self::Fallback => "fallback",
        }
    }

    /// The lane of a chain, `None` for an empty one.
    pub fn of(chain: &[Member]) -> Option<Self> {
        chain.first().map(|first| {
            if matches!(first, Member::Fallback(_)) {
                Self::Fallback
            } else {
                Self::Home
            }
        })
    }
}

impl FilterPolicy {
    /// The policy of a region's gateway under a plan.
    pub fn for_region(fleet: &Fleet, plan: &Plan, home: &RegionName, lease: Option<Lease>) -> Self {
        let zones = fleet
            .zones
            .iter()
            .map(|(name, zone)| (name.clone(), zone_rule(fleet, plan, name, zone, home)))
            .collect();
        let countries = fleet
            .zones
            .iter()
            .flat_map(|(name, zone)| {
                zone.countries
                    .iter()
                    .map(move |country| (*country, name.clone()))
            })
            .collect();
        Self {
            region: home.clone(),
            sources: fleet.sources.clone(),
            countries,
            rest_of_world: fleet
                .zones
                .iter()
                .find(|(_, zone)| zone.rest)
                .map(|(name, _)| name.clone()),
            unknown_zone: fleet.unknown_zone.clone(),
            zones,
            batch_keys: fleet.batch_keys.clone(),
            needs_header: fleet.needs_header.clone(),
            pools: fleet.balances(home),
            lease,
        }
    }
}

fn zone_rule(
    fleet: &Fleet,
    plan: &Plan,
    name: &ZoneName,
    zone: &Zone,
    home: &RegionName,
) -> ZoneRule {
    let rule = |model: &ModelName| {
        let members = chain(fleet, name, model, home);
        let lane = Lane::of(&members)?;
        let patience = has_another(fleet, model, &members)
            .then(|| Patience::of(&fleet.limits_of(name, model)));
        let placement = plan.placement(home, name, model);
        let split = placement
            .filter(|placement| !placement.overflow.is_empty())
            .zip(regions_of(fleet, name, model, home))
            .map(|(placement, (first, _))| Split {
                first,
                home_share: placement.home_share,
                floor: fleet.overflow.floor_percent(),
                overflow: placement.overflow.clone(),
                fixed: matches!(zone.order, Order::Weighted(_)),
            });
        let rule = ModelRule {
            lane,
            split,
            fresh: Fresh::of(fleet, plan, name, model, home),
            fresh_unknown: members
                .iter()
                .filter_map(Member::region)
                .any(|region| plan.freshness.unknown.contains(region)),
            batch: BatchRule::of(fleet, plan, name, model, home),
            patience,
        };
        Some((model.clone(), rule))
    };
    ZoneRule {
        pinned: zone.pinned,
        turn_away: (!zone.passes_through(home)).then(|| turn_away(fleet, zone, home)),
        models: fleet.models().into_iter().filter_map(rule).collect(),
    }
}

fn turn_away(fleet: &Fleet, zone: &Zone, home: &RegionName) -> TurnAway {
    let nearest = fleet
        .regions
        .get(home)
        .map(|region| region.nearest.as_slice())
        .unwrap_or_default();
    let right = nearest
        .iter()
        .filter(|region| zone.regions.contains(*region));
    let url = |region: &RegionName| {
        fleet
            .regions
            .get(region)
            .and_then(|region| region.public.url.clone())
    };
    match (zone.misdirected, right.clone().find_map(url)) {
        (Misdirected::Redirect, Some(url)) => TurnAway::Redirect(url),
        _ => TurnAway::Refuse(
            right
                .map(|region| url(region).unwrap_or_else(|| region.to_string()))
                .collect(),
        ),
    }
}
