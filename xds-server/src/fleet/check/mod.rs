//! `RawFleet -> Fleet`: parses every value, resolves every name and finds every contradiction, in one pass.

mod addresses;
mod batch;
mod contexts;
mod control_plane;
mod costs;
mod fallbacks;
mod figures;
mod findings;
mod foreign_pools;
mod gateways;
mod limits;
mod load;
mod needs;
mod neighbours;
mod places;
mod public_apis;
mod regions;
mod served;
mod signals;
mod sources;
mod vector_dbs;
mod zones;

use super::field;
use super::problem::Problem;
use super::raw::{RawFleet, RawGateways, RawRegion};
use meridian_policy::Fleet;
use meridian_policy::fleet::Fallback;
use meridian_policy::name::BadName;
use meridian_policy::{FallbackName, RegionName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// A finding that the file accepts at a place, and the finding if there was one.
struct Accepted {
    place: String,
    name: &'static str,
    found: Option<Problem>,
}

/// A fleet that may run, and what its file insists on.
#[derive(Debug)]
pub struct Checked {
    /// The fleet.
    pub fleet: Fleet,
    /// Findings that would refuse the file, but that it accepts by name.
    pub accepted: Vec<Problem>,
}

/// Builds the fleet.
///
/// # Errors
///
/// Every problem of the file.
pub fn check(raw: RawFleet) -> Result<Checked, Vec<Problem>> {
    let mut check = Check::default();
    check.read_accepted(&raw);
    let names = Names::of(&raw);
    let fallbacks: BTreeMap<FallbackName, Fallback> = check.fallbacks(raw.fallbacks);
    let limits = check.limits(raw.policy.limits);
    let zones = check.zones(raw.zones, &names, &fallbacks, &limits);
    let regions = check.regions(with_defaults(raw.regions, &raw.gateways), &names);
    let gateways = check.gateways(raw.gateways);
    let (own_limits, balance) = check.models(raw.models, &limits, &regions);
    let fleet = Fleet {
        unknown_zone: check.unknown_zone(raw.unknown_zone, &zones),
        sources: check.sources(raw.classify),
        own_limits,
        balance,
        limits,
        batch_keys: check.batch_keys(raw.policy.batch.keys),
        needs_header: check.needs_header(raw.policy.needs.header),
        failover: check.failover("policy.failover", &raw.policy.failover),
        overflow: check.overflow(raw.policy.overflow),
        unhealthy: check.unhealthy(raw.policy.unhealthy),
        control_plane: raw.control_plane.map(|raw| check.control_plane(raw)),
        trust_domain: gateways.trust_domain,
        filters: gateways.filters,
        access_log: gateways.access_log,
        heap: gateways.heap,
        zones,
        regions,
        fallbacks,
    };
    check.bodies_fit(&fleet);
    check.addresses(&fleet);
    check.signals_stay_fresh(&fleet);
    check.pushes_can_be_known(&fleet);
    check.contexts_compare(&fleet);
    check.prices_compare(&fleet);
    check.needs_say_no_zone(&fleet);
    check.budgets_are_parted(&fleet);
    // Values that did not parse would cause misleading problems here.
    if check.problems.is_empty() {
        check.zones_are_served(&fleet);
        check.renamed_models_exist(&fleet);
        check.databases_agree(&fleet);
        check.pools_are_no_foreign_gateways(&fleet);
        check.redirects_are_private(&fleet);
    }
    if check.problems.is_empty() {
        check.all_accepted_is_found();
    }
    if check.problems.is_empty() {
        Ok(Checked {
            fleet,
            accepted: check.warnings,
        })
    } else {
        Err(check.problems)
    }
}

/// Regions with what they leave to the settings of all gateways.
fn with_defaults(
    mut regions: BTreeMap<String, RawRegion>,
    gateways: &RawGateways,
) -> BTreeMap<String, RawRegion> {
    for region in regions.values_mut() {
        region.gateway.filter.get_or_insert(gateways.filter);
    }
    regions
}

/// The names that the file declares.
struct Names {
    regions: BTreeSet<String>,
    fallbacks: BTreeSet<String>,
}

impl Names {
    fn of(raw: &RawFleet) -> Self {
        Self {
            regions: raw.regions.keys().cloned().collect(),
            fallbacks: raw.fallbacks.keys().cloned().collect(),
        }
    }
}

#[derive(Default)]
struct Check {
    problems: Vec<Problem>,
    /// What the file accepts.
    accepted: Vec<Accepted>,
    /// The findings that it accepts.
    warnings: Vec<Problem>,
}

impl Check {
    fn problem(&mut self, at: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem::new(at, message));
    }

    /// Checks that a number is not so large that sums and products of it overflow, or mean nothing.
    fn at_most(&mut self, at: &str, value: Option<impl Into<u64>>, most: u64) {
        if let Some(value) = value.map(Into::into).filter(|value| *value > most) {
            self.problem(at, format!("{value} is too large; write {most} at most"));
        }
    }

    /// The value, or `None` after reporting a problem.
    fn at<T>(&mut self, at: &str, value: Result<T, String>) -> Option<T> {
        value.map_err(|message| self.problem(at, message)).ok()
    }

    /// A name, or `None` after reporting that it is not one.
    fn name<N: FromStr<Err = BadName>>(&mut self, at: &str, text: &str) -> Option<N> {
        self.at(at, text.parse().map_err(|bad: BadName| bad.to_string()))
    }

    /// Resolves names. Reports those that are not declared or listed twice.
    fn resolve<N: FromStr>(
        &mut self,
        at: &str,
        mentions: Vec<String>,
        declared: &BTreeSet<String>,
        what: &str,
    ) -> Vec<N> {
        let mut seen = BTreeSet::new();
        let mut resolved = Vec::new();
        for (index, mention) in mentions.into_iter().enumerate() {
            let place = format!("{at}[{index}]");
            if !declared.contains(&mention) {
                let known = listed(declared);
                self.problem(
                    place,
                    format!("there is no {what} `{mention}`; there are: {known}"),
                );
            } else if !seen.insert(mention.clone()) {
                self.problem(place, format!("`{mention}` is listed twice; remove one"));
            } else {
                // A declaration with a bad name is reported at its own place.
                resolved.extend(mention.parse().ok());
            }
        }
        resolved
    }
}

/// Names, separated by commas, for messages.
fn listed<T: std::fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

/// A region's place in the file.
fn region_at(region: &RegionName) -> String {
    format!("regions.{region}")
}

/// Placeholder for an address that did not parse. No fleet is built then.
const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
