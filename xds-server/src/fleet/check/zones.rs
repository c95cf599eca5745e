//! Residency zones: their callers, and the regions and fallbacks of their requests.

use super::{Check, Names, listed};
use crate::fleet::raw::{RawMisdirected, RawRemoteContent, RawZone};
use meridian_policy::country::Country;
use meridian_policy::fleet::{
    ContentRules, Fallback, Limits, Misdirected, Order, OwnLimits, UnknownZone, Zone,
};
use meridian_policy::{FallbackName, RegionName, ZoneName};
use std::collections::{BTreeMap, BTreeSet};

/// The jurisdiction of a provider that may process requests anywhere.
const GLOBAL: &str = "global";
/// The value of `unknown_zone` that is not a zone.
const REFUSE: &str = "refuse";

/// Largest weight of a region: the sum over all regions of a fleet stays below 2^32, which is Envoy's limit.
const LARGEST_WEIGHT: u64 = 1_000_000;

/// The zone of each country so far.
#[derive(Default)]
struct Taken {
    countries: BTreeMap<Country, String>,
    rest: Option<String>,
}

impl Check {
    pub(super) fn zones(
        &mut self,
        raw: BTreeMap<String, RawZone>,
        names: &Names,
        fallbacks: &BTreeMap<FallbackName, Fallback>,
        limits: &Limits,
    ) -> BTreeMap<ZoneName, Zone> {
        if raw.is_empty() {
            self.problem(
                "zones",
                "a fleet needs at least one zone: no request goes anywhere without one",
            );
        }
        let mut taken = Taken::default();
        let mut zones = BTreeMap::new();
        for (name, mut raw) in raw {
            let at = format!("zones.{name}.limits");
            let own = self.own_limits(&at, std::mem::take(&mut raw.limits), limits);
            let zone = self.zone(&name, raw, names, fallbacks, &mut taken);
            let zone = Zone {
                limits: own,
                ..zone
            };
            let name = self.name(&format!("zones.{name}"), &name);
            zones.extend(name.map(|name: ZoneName| (name, zone)));
        }
        zones
    }

    fn zone(
        &mut self,
        name: &str,
        raw: RawZone,
        names: &Names,
        fallbacks: &BTreeMap<FallbackName, Fallback>,
        taken: &mut Taken,
    ) -> Zone {
        let at = format!("zones.{name}");
        if name == REFUSE {
            let message = "`unknown_zone: refuse` would not say whether it means this zone; give it another name";
            self.problem(&at, message);
        }
        let (countries, rest) = self.countries(&format!("{at}.countries"), &raw.countries);
        self.assign_countries(&format!("{at}.countries"), name, &countries, rest, taken);
        if raw.regions.is_empty() {
            self.problem(
                format!("{at}.regions"),
                "list at least one region that may serve the zone",
            );
        }
        let regions: Vec<RegionName> = self.resolve(
            &format!("{at}.regions"),
            raw.regions,
            &names.regions,
            "region",
        );
        let order = self.order(&at, raw.order, raw.weights, &regions);
        let failover = raw.failover.as_ref();
        let failover = failover.map(|raw| self.failover(&format!("{at}.failover"), raw));
        let zone_fallbacks: Vec<FallbackName> = self.resolve(
            &format!("{at}.fallbacks"),
            raw.fallbacks,
            &names.fallbacks,
            "fallback",
        );
        if raw.pinned {
            let accepted = raw.jurisdictions.unwrap_or_else(|| vec![name.to_owned()]);
            self.jurisdictions(&at, &accepted, &zone_fallbacks, fallbacks);
        } else {
            self.only_if_pinned(&format!("{at}.misdirected"), raw.misdirected.is_some());
            self.only_if_pinned(&format!("{at}.jurisdictions"), raw.jurisdictions.is_some());
        }
        let content = ContentRules {
            fallback_tools: self.fallback_tools(&at, raw.fallback_tools.unwrap_or_default()),
            refuse_remote: raw.remote_content == Some(RawRemoteContent::Refuse),
        };
        Zone {
            countries,
            rest,
            pinned: raw.pinned,
            regions: regions.into_iter().collect(),
            fallbacks: zone_fallbacks,
            misdirected: misdirected(raw.misdirected),
            order,
            failover,
            limits: OwnLimits::default(),
            content,
        }
    }

    /// The types of tools that the zone's fallbacks may run.
    fn fallback_tools(&mut self, at: &str, tools: Vec<String>) -> BTreeSet<String> {
        let is_type = |tool: &str| {
            let mut bytes = tool.bytes();
            !tool.is_empty() && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        for (index, tool) in tools.iter().enumerate() {
            if !is_type(tool) {
                let message = format!(
                    "`{tool}` is no type of a tool; write it as requests do, e.g. web_search"
                );
                self.problem(format!("{at}.fallback_tools[{index}]"), message);
            }
        }
        tools.into_iter().collect()
    }

    /// Reports a field that an unpinned zone has and only a pinned one uses.
    fn only_if_pinned(&mut self, at: &str, is_set: bool) {
        if is_set {
            let message = "has an effect for a pinned zone only; remove it, or set `pinned: true`";
            self.problem(at, message);
        }
    }

    /// The order in which the zone's regions are tried.
    fn order(
        &mut self,
        at: &str,
        order: Option<Vec<String>>,
        weights: Option<BTreeMap<String, u32>>,
        regions: &[RegionName],
    ) -> Order {
        let is_known = |region: &str| regions.iter().any(|known| known.as_str() == region);
        let foreign = |region: &str| {
            format!(
                "the zone may not use `{region}`; its regions are: {}",
                listed(regions)
            )
        };
        match (order, weights) {
            (None, None) => Order::Nearest,
            (Some(_), Some(_)) => {
                let message =
                    "regions have either an order or weights; remove `order` or `weights`";
                self.problem(format!("{at}.order"), message);
                Order::Nearest
            }
            (Some(order), None) => {
                let mut seen = BTreeSet::new();
                for (index, region) in order.iter().enumerate() {
                    let at = format!("{at}.order[{index}]");
                    if !is_known(region) {
                        self.problem(at, foreign(region));
                    } else if !seen.insert(region) {
                        self.problem(at, format!("`{region}` is listed twice; remove one"));
                    }
                }
                let names = order.iter().filter_map(|region| region.parse().ok());
                Order::Priority(names.collect())
            }
            (None, Some(weights)) => {
                for region in weights.keys().filter(|region| !is_known(region)) {
                    self.problem(format!("{at}.weights.{region}"), foreign(region));
                }
                for (region, weight) in &weights {
                    let at = format!("{at}.weights.{region}");
                    self.at_most(&at, Some(*weight), LARGEST_WEIGHT);
                }
                if weights.values().all(|weight| *weight == 0) {
                    let message = "all weights are 0; give at least one region a weight above 0";
                    self.problem(format!("{at}.weights"), message);
                }
                let each = weights.into_iter();
                let named =
                    each.filter_map(|(region, weight)| Some((region.parse().ok()?, weight)));
                Order::Weighted(named.collect())
            }
        }
    }

    fn countries(&mut self, at: &str, raw: &[String]) -> (BTreeSet<Country>, bool) {
        let mut countries = BTreeSet::new();
        let mut rest = false;
        for (index, text) in raw.iter().enumerate() {
            let found = match text.strip_prefix("preset:") {
                Some("rest") => {
                    rest = true;
                    continue;
                }
                Some(preset) => Country::preset(preset).ok_or_else(|| {
                    format!("there is no preset `{preset}`; there are: eea, uk, ch, rest")
                }),
                None => Country::try_from(text.clone())
                    .map(|country| vec![country])
                    .map_err(|error| {
                        format!("{error}; write e.g. DE, or a preset such as preset:eea")
                    }),
            };
            countries.extend(
                self.at(&format!("{at}[{index}]"), found)
                    .into_iter()
                    .flatten(),
            );
        }
        (countries, rest)
    }

    /// Reports countries of two zones: one problem per pair of zones.
    fn assign_countries(
        &mut self,
        at: &str,
        zone: &str,
        countries: &BTreeSet<Country>,
        rest: bool,
        taken: &mut Taken,
    ) {
        let mut shared: BTreeMap<String, Vec<Country>> = BTreeMap::new();
        for country in countries {
            if let Some(other) = taken.countries.get(country) {
                shared.entry(other.clone()).or_default().push(*country);
            } else {
                taken.countries.insert(*country, zone.to_owned());
            }
        }
        for (other, countries) in shared {
            let message = format!(
                "in the zone `{other}` already: {}; a country has one zone, remove it from one of the two",
                listed(countries)
            );
            self.problem(at, message);
        }
        if rest && let Some(other) = taken.rest.replace(zone.to_owned()) {
            self.problem(
                at,
                format!("`preset:rest` belongs to the zone `{other}` already; remove one"),
            );
        }
    }

    /// A pinned zone may use a fallback only if it accepts every jurisdiction of the fallback.
    fn jurisdictions(
        &mut self,
        at: &str,
        accepted: &[String],
        used: &[FallbackName],
        fallbacks: &BTreeMap<FallbackName, Fallback>,
    ) {
        self.jurisdiction_names(&format!("{at}.jurisdictions"), accepted);
        if accepted.iter().any(|jurisdiction| jurisdiction == GLOBAL) {
            let message = "a pinned zone cannot accept `global`, which means anywhere; name the jurisdictions";
            self.problem(format!("{at}.jurisdictions"), message);
        }
        for (index, name) in used.iter().enumerate() {
            let Some(fallback) = fallbacks.get(name) else {
                continue;
            };
            let foreign: Vec<&String> = fallback
                .jurisdiction
                .iter()
                .filter(|jurisdiction| !accepted.contains(jurisdiction))
                .collect();
            if !foreign.is_empty() {
                let message = format!(
                    "`{name}` may process requests in: {}; this pinned zone accepts: {}; use another fallback, or \
                     list the jurisdiction under `jurisdictions` if it belongs to the zone",
                    listed(foreign),
                    listed(accepted)
                );
                self.problem(format!("{at}.fallbacks[{index}]"), message);
            }
        }
    }

    pub(super) fn unknown_zone(
        &mut self,
        raw: Option<String>,
        zones: &BTreeMap<ZoneName, Zone>,
    ) -> UnknownZone {
        let pinned: Vec<&ZoneName> = zones
            .iter()
            .filter(|(_, zone)| zone.pinned)
            .map(|(name, _)| name)
            .collect();
        match (raw.as_deref(), pinned.as_slice()) {
            (Some(REFUSE), _) => return UnknownZone::Refuse,
            (Some(name), pinned) => match zones.get_key_value(name) {
                None => {
                    let known = listed(zones.keys());
                    let message =
                        format!("there is no zone `{name}`; there are: {known}; or write `refuse`");
                    self.problem("unknown_zone", message);
                    return UnknownZone::Refuse;
                }
                Some((_, zone)) if !zone.pinned && !pinned.is_empty() => {
                    let message = format!(
                        "`{name}` is not pinned: a caller of a pinned zone whose origin is not known could be sent \
                             anywhere; name a pinned zone ({}) or write `refuse`",
                        listed(pinned)
                    );
                    self.problem("unknown_zone", message);
                    return UnknownZone::Refuse;
                }
                Some((zone, _)) => return UnknownZone::Zone(zone.clone()),
            },
            (None, [zone]) => return UnknownZone::Zone((*zone).clone()),
            (None, _) => {}
        }
        let message = "say which zone callers of unknown origin belong to, or `refuse`: there is no single pinned zone \
                       to take";
        self.problem("unknown_zone", message);
        UnknownZone::Refuse
    }
}

fn misdirected(raw: Option<RawMisdirected>) -> Misdirected {
    match raw {
        None | Some(RawMisdirected::Refuse) => Misdirected::Refuse,
        Some(RawMisdirected::Redirect) => Misdirected::Redirect,
        Some(RawMisdirected::Forward) => Misdirected::Forward,
    }
}
