//! What the fleet in force promises: its zones and fallbacks.

use meridian_planner::topology::Topology;
use meridian_policy::country::Country;
use meridian_policy::egress_policy::Provider;
use meridian_policy::fallback::Fallback;
use meridian_policy::zone::Zone;
use meridian_policy::{FallbackName, Fleet, RegionName, ZoneId, ZoneName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Most countries of a zone that are shown.
const MOST_COUNTRIES: usize = 3;

/// A residency zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ZonePromise {
    /// Whether its requests never leave its regions and fallbacks.
    pub pinned: bool,
    /// Its regions.
    #[schema(value_type = BTreeSet<String>)]
    pub regions: BTreeSet<RegionName>,
    /// Its fallbacks, in order of preference.
    #[schema(value_type = Vec<String>)]
    pub fallbacks: Vec<FallbackName>,
    /// The definition that gateways follow.
    #[schema(value_type = Option<String>)]
    pub definition: Option<ZoneId>,
    /// Some of its countries.
    pub countries: Vec<String>,
}

/// A hosted provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FallbackPromise {
    /// Its API: `openai-compatible`, or `claude` and the model.
    pub provider: String,
    /// Where it may process a request.
    pub jurisdiction: BTreeSet<String>,
    /// What all gateways together may spend with it.
    pub budget: BudgetReport,
}

/// A budget; `None` where there is no limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BudgetReport {
    /// Requests in any minute.
    pub requests_per_minute: Option<u64>,
    /// US dollars in any hour.
    pub usd_per_hour: Option<f64>,
}

/// The zones of a fleet.
pub fn zones(topology: &Topology) -> BTreeMap<ZoneName, ZonePromise> {
    let definitions = &topology.definitions().zones;
    let zones = topology.zones.iter();
    zones
        .map(|(name, zone)| {
            let report = ZonePromise {
                pinned: zone.pinned,
                regions: zone.regions.clone(),
                fallbacks: zone.fallbacks.clone(),
                definition: definitions.get(name).cloned(),
                countries: countries(topology, zone),
            };
            (name.clone(), report)
        })
        .collect()
}

/// Some countries of a zone. One that takes the rest has those that no zone lists.
fn countries(fleet: &Fleet, zone: &Zone) -> Vec<String> {
    let is_listed = |country: &Country| {
        let mut zones = fleet.zones.values();
        zones.any(|zone| zone.countries.contains(country))
    };
    let rest = Country::all().filter(|country| zone.rest && !is_listed(country));
    let own = zone.countries.iter().copied();
    let some = own.chain(rest).take(MOST_COUNTRIES);
    some.map(|country| country.to_string()).collect()
}

/// The fallbacks of a fleet.
pub fn fallbacks(fleet: &Fleet) -> BTreeMap<FallbackName, FallbackPromise> {
    let fallbacks = fleet.fallbacks.iter();
    fallbacks
        .map(|(name, fallback)| (name.clone(), report(fallback)))
        .collect()
}

fn report(fallback: &Fallback) -> FallbackPromise {
    let Fallback {
        provider, budget, ..
    } = fallback;
    FallbackPromise {
        provider: match provider {
            Provider::OpenaiCompatible => "openai-compatible".to_owned(),
            Provider::Claude(claude) => format!("claude {}", claude.model),
        },
        jurisdiction: fallback.jurisdiction.clone(),
        budget: BudgetReport {
            requests_per_minute: budget.requests,
            usd_per_hour: budget.nanousd.map(|nanousd| nanousd as f64 / 1e9),
        },
    }
}
