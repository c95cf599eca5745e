//! `RawFleet -> Fleet`: every value parsed, every name resolved, every contradiction found, all in one pass.

use super::Problem;
use super::field;
use super::raw::{
    RawFallback, RawFleet, RawGateways, RawLimits, RawMisdirected, RawPool, RawProvider, RawRegion, RawSource, RawZone,
};
use meridian_policy::Fleet;
use meridian_policy::country::Country;
use meridian_policy::fleet::{
    Fallback, Gateway, KeyPair, Limits, Misdirected, Pool, Public, Region, Trust, UnknownZone, Zone, ZoneSource,
};
use meridian_policy::{FallbackName, ModelName, RegionName, ZoneName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// Jurisdiction of a provider that may process a request anywhere.
const GLOBAL: &str = "global";

/// Builds the fleet, or lists every problem.
pub fn check(raw: RawFleet) -> Result<Fleet, Vec<Problem>> {
    let mut check = Check { problems: Vec::new() };
    let names = Names {
        zones: raw.zones.keys().cloned().collect(),
        regions: raw.regions.keys().cloned().collect(),
        fallbacks: raw.fallbacks.keys().cloned().collect(),
    };
    let fallbacks: BTreeMap<FallbackName, Fallback> = check.fallbacks(raw.fallbacks);
    let zones = check.zones(raw.zones, &names, &fallbacks);
    let regions = check.regions(raw.regions, &names);
    check.zones_are_served(&zones, &regions);
    let RawGateways { trust_domain, filter, access_log } = raw.gateways;
    let fleet = Fleet {
        unknown_zone: check.unknown_zone(raw.unknown_zone, &zones),
        sources: check.sources(raw.classify),
        limits: check.limits(raw.policy.limits),
        trust_domain: check.trust_domain(trust_domain),
        filter: filter.unwrap_or_else(|| "/etc/meridian/meridian_filter.wasm".into()),
        access_log: access_log.unwrap_or_else(|| "/dev/stdout".into()),
        zones,
        regions,
        fallbacks,
    };
    if check.problems.is_empty() { Ok(fleet) } else { Err(check.problems) }
}

/// Every name that the file declares, so that each mention can be resolved.
struct Names {
    zones: BTreeSet<String>,
    regions: BTreeSet<String>,
    fallbacks: BTreeSet<String>,
}

struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn problem(&mut self, at: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { at: at.into(), message: message.into() });
    }

    /// The value, or a problem at a place.
    fn at<T>(&mut self, at: &str, value: Result<T, String>) -> Option<T> {
        value.map_err(|message| self.problem(at, message)).ok()
    }

    /// Each mention that resolves, as a name; a problem for those that do not.
    fn resolve<N: From<String> + Ord + Clone>(
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
                let known = declared.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                self.problem(place, format!("there is no {what} `{mention}`; there are: {known}"));
            } else if !seen.insert(mention.clone()) {
                self.problem(place, format!("`{mention}` is listed twice; remove one"));
            } else {
                resolved.push(N::from(mention));
            }
        }
        resolved
    }

    fn fallbacks(&mut self, raw: BTreeMap<String, RawFallback>) -> BTreeMap<FallbackName, Fallback> {
        let mut fallbacks = BTreeMap::new();
        for (name, raw) in raw {
            let at = format!("fallbacks.{name}");
            self.at(&at, field::plain_name(&name));
            let RawProvider::OpenaiCompatible = raw.provider;
            let endpoint = self.at(&format!("{at}.url"), field::provider_url(&raw.url));
            let api_key = self.at(&format!("{at}.api_key"), field::secret(raw.api_key.env, raw.api_key.file));
            if raw.jurisdiction.is_empty() {
                let fix = "say where it may process a request, e.g. [eea] or [global]";
                self.problem(format!("{at}.jurisdiction"), fix);
            }
            for (index, jurisdiction) in raw.jurisdiction.iter().enumerate() {
                self.at(&format!("{at}.jurisdiction[{index}]"), field::plain_name(jurisdiction));
            }
            if let (Some(endpoint), Some(api_key)) = (endpoint, api_key) {
                let jurisdiction = raw.jurisdiction.into_iter().collect();
                fallbacks.insert(name.into(), Fallback { endpoint, jurisdiction, api_key });
            }
        }
        fallbacks
    }

    fn zones(
        &mut self,
        raw: BTreeMap<String, RawZone>,
        names: &Names,
        fallbacks: &BTreeMap<FallbackName, Fallback>,
    ) -> BTreeMap<ZoneName, Zone> {
        if raw.is_empty() {
            self.problem("zones", "a fleet needs at least one zone: no request goes anywhere without one");
        }
        let mut taken: BTreeMap<Country, String> = BTreeMap::new();
        let mut rest: Option<String> = None;
        let mut zones = BTreeMap::new();
        for (name, raw) in raw {
            let at = format!("zones.{name}");
            self.at(&at, field::plain_name(&name));
            let (countries, is_rest) = self.countries(&format!("{at}.countries"), &raw.countries);
            for country in &countries {
                if let Some(other) = taken.insert(*country, name.clone()) {
                    let message = format!("{country} belongs to the zone `{other}` already; a country has one zone");
                    self.problem(format!("{at}.countries"), message);
                }
            }
            if is_rest && let Some(other) = rest.replace(name.clone()) {
                self.problem(format!("{at}.countries"), format!("`preset:rest` belongs to the zone `{other}` already"));
            }
            if raw.regions.is_empty() {
                self.problem(format!("{at}.regions"), "list at least one region that may serve the zone");
            }
            if raw.misdirected.is_some() && !raw.pinned {
                let message = "only callers of a pinned zone can be misdirected; remove it, or set `pinned: true`";
                self.problem(format!("{at}.misdirected"), message);
            }
            let regions: Vec<RegionName> = self.resolve(&format!("{at}.regions"), raw.regions, &names.regions, "region");
            let zone_fallbacks: Vec<FallbackName> =
                self.resolve(&format!("{at}.fallbacks"), raw.fallbacks, &names.fallbacks, "fallback");
            if raw.pinned {
                let accepted = raw.jurisdictions.unwrap_or_else(|| vec![name.clone()]);
                self.jurisdictions(&at, &accepted, &zone_fallbacks, fallbacks);
            } else if raw.jurisdictions.is_some() {
                let message = "only a pinned zone restricts jurisdictions; remove it, or set `pinned: true`";
                self.problem(format!("{at}.jurisdictions"), message);
            }
            let misdirected = match raw.misdirected {
                None | Some(RawMisdirected::Refuse) => Misdirected::Refuse,
                Some(RawMisdirected::Redirect) => Misdirected::Redirect,
                Some(RawMisdirected::Forward) => Misdirected::Forward,
            };
            let zone = Zone {
                countries,
                rest: is_rest,
                pinned: raw.pinned,
                regions: regions.into_iter().collect(),
                fallbacks: zone_fallbacks,
                misdirected,
            };
            zones.insert(ZoneName::from(name), zone);
        }
        zones
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
                Some(preset) => Country::preset(preset)
                    .ok_or_else(|| format!("there is no preset `{preset}`; there are: eea, uk, ch, rest")),
                None => Country::try_from(text.clone()).map(|country| vec![country]),
            };
            countries.extend(self.at(&format!("{at}[{index}]"), found).into_iter().flatten());
        }
        (countries, rest)
    }

    /// A pinned zone takes a fallback only if every place where that may process a request is accepted.
    fn jurisdictions(
        &mut self,
        at: &str,
        accepted: &[String],
        used: &[FallbackName],
        fallbacks: &BTreeMap<FallbackName, Fallback>,
    ) {
        if accepted.iter().any(|jurisdiction| jurisdiction == GLOBAL) {
            let message = "a pinned zone cannot accept `global`, which means anywhere; name the jurisdictions";
            self.problem(format!("{at}.jurisdictions"), message);
        }
        for (index, name) in used.iter().enumerate() {
            let Some(fallback) = fallbacks.get(name) else { continue };
            for jurisdiction in fallback.jurisdiction.iter().filter(|jurisdiction| !accepted.contains(jurisdiction)) {
                let message = format!(
                    "`{name}` may process requests in `{jurisdiction}`, which this pinned zone does not accept (it \
                     accepts: {}); use another fallback, or list it under `jurisdictions` if it belongs to the zone",
                    accepted.join(", ")
                );
                self.problem(format!("{at}.fallbacks[{index}]"), message);
            }
        }
    }

    fn unknown_zone(&mut self, raw: Option<String>, zones: &BTreeMap<ZoneName, Zone>) -> UnknownZone {
        let pinned: Vec<&ZoneName> = zones.iter().filter(|(_, zone)| zone.pinned).map(|(name, _)| name).collect();
        match raw.as_deref() {
            Some("refuse") => UnknownZone::Refuse,
            Some(name) => {
                if !zones.contains_key(name) {
                    self.problem("unknown_zone", format!("there is no zone `{name}`; name a zone, or write `refuse`"));
                }
                UnknownZone::Zone(name.into())
            }
            None => match pinned.as_slice() {
                [zone] => UnknownZone::Zone((*zone).clone()),
                _ => {
                    let message = "say which zone callers of unknown origin belong to, or `refuse`: there is no single \
                                   pinned zone to take";
                    self.problem("unknown_zone", message);
                    UnknownZone::Refuse
                }
            },
        }
    }

    fn sources(&mut self, raw: Vec<RawSource>) -> Vec<ZoneSource> {
        let mut sources: Vec<ZoneSource> = Vec::new();
        for (index, RawSource { header, gives, trust }) in raw.into_iter().enumerate() {
            let at = format!("classify[{index}]");
            let header = self.at(&format!("{at}.header"), field::header_name(&header)).unwrap_or_default();
            if sources.iter().any(|source| source.header == header) {
                self.problem(format!("{at}.header"), format!("`{header}` is a source already; remove one"));
            }
            if trust.cidr.is_empty() {
                let message = "list the networks whose word counts; a header that anyone may send says nothing";
                self.problem(format!("{at}.trust.cidr"), message);
            }
            let networks = trust.cidr.iter().enumerate();
            let cidr = networks
                .filter_map(|(n, text)| self.at(&format!("{at}.trust.cidr[{n}]"), field::cidr(text)))
                .collect();
            sources.push(ZoneSource { header, gives, trust: Trust { cidr } });
        }
        sources
    }

    fn regions(&mut self, raw: BTreeMap<String, RawRegion>, names: &Names) -> BTreeMap<RegionName, Region> {
        if raw.is_empty() {
            self.problem("regions", "a fleet needs at least one region");
        }
        let mut stat_names: BTreeMap<String, String> = BTreeMap::new();
        let mut regions = BTreeMap::new();
        for (name, raw) in raw {
            let at = format!("regions.{name}");
            self.at(&at, field::plain_name(&name));
            let mut nearest: Vec<RegionName> =
                self.resolve(&format!("{at}.nearest"), raw.nearest, &names.regions, "region");
            if nearest.iter().any(|other| other.as_str() == name) {
                self.problem(format!("{at}.nearest"), "a region is not its own neighbour; list the others");
            }
            for other in names.regions.iter().filter(|other| **other != name) {
                if !nearest.iter().any(|listed| listed.as_str() == other) {
                    nearest.push(other.clone().into());
                }
            }
            let mut pools = BTreeMap::new();
            for (model, pool) in raw.pools {
                let at = format!("{at}.pools.{model}");
                self.at(&at, field::model_name(&model));
                let stat_name = crate::translate::name::stat(&model);
                let other = stat_names.entry(stat_name).or_insert_with(|| model.clone());
                if *other != model {
                    let message = format!("`{model}` and `{other}` would share their statistics; rename one");
                    self.problem(&at, message);
                }
                if let Some(pool) = self.pool(&at, pool) {
                    pools.insert(ModelName::from(model), pool);
                }
            }
            let public = self.public(&format!("{at}.public"), raw.public);
            let gateway = self.gateway(&format!("{at}.gateway"), raw.gateway);
            let admin = raw.admin.as_deref().unwrap_or("127.0.0.1:9901");
            let admin = self.at(&format!("{at}.admin"), field::socket(admin)).unwrap_or(UNSPECIFIED);
            if !admin.ip().is_loopback() && admin != UNSPECIFIED {
                let message = "whoever reaches Envoy's admin interface owns the gateway; use a loopback address";
                self.problem(format!("{at}.admin"), message);
            }
            regions.insert(name.into(), Region { public, gateway, admin, nearest, pools });
        }
        regions
    }

    fn pool(&mut self, at: &str, raw: RawPool) -> Option<Pool> {
        match (raw.endpoints, raw.dns) {
            (Some(endpoints), None) if !endpoints.is_empty() => {
                let parsed = endpoints.iter().enumerate();
                let parsed = parsed
                    .filter_map(|(index, text)| self.at(&format!("{at}.endpoints[{index}]"), field::endpoint(text)));
                Some(Pool::Endpoints(parsed.collect()))
            }
            (None, Some(dns)) => self.at(&format!("{at}.dns"), field::dns_pool(&dns)),
            _ => {
                self.problem(at, "give exactly one of `endpoints` (a list of ip:port) and `dns` (name:port)");
                None
            }
        }
    }

    fn public(&mut self, at: &str, raw: super::raw::RawPublic) -> Public {
        let listen = raw.listen.as_deref().unwrap_or("0.0.0.0:8080");
        let listen = self.at(&format!("{at}.listen"), field::socket(listen)).unwrap_or(UNSPECIFIED);
        let url = raw.url.and_then(|url| self.at(&format!("{at}.url"), field::public_url(&url)));
        let tls = raw.tls.map(|tls| KeyPair { certificate: tls.certificate, key: tls.key });
        Public { listen, url, tls }
    }

    fn gateway(&mut self, at: &str, raw: super::raw::RawGateway) -> Gateway {
        let address = self.at(&format!("{at}.address"), field::host(&raw.address)).unwrap_or_default();
        if raw.port == 0 {
            self.problem(format!("{at}.port"), "0 is no port that can be connected to");
        }
        let listen = raw.listen.unwrap_or_else(|| format!("0.0.0.0:{}", raw.port));
        let listen = self.at(&format!("{at}.listen"), field::socket(&listen)).unwrap_or(UNSPECIFIED);
        let (ca, certificate, key) = match raw.tls {
            Some(tls) => (tls.ca, tls.certificate, tls.key),
            None => {
                let path = |file: &str| format!("/etc/meridian/tls/{file}");
                (path("ca.crt"), path("gateway.crt"), path("gateway.key"))
            }
        };
        Gateway { listen, address, port: raw.port, identity: KeyPair { certificate, key }, ca }
    }

    /// A redirect needs somewhere to go.
    fn zones_are_served(&mut self, zones: &BTreeMap<ZoneName, Zone>, regions: &BTreeMap<RegionName, Region>) {
        for (name, zone) in zones.iter().filter(|(_, zone)| zone.misdirected == Misdirected::Redirect) {
            for region in zone.regions.iter().filter(|region| {
                regions.get(*region).is_some_and(|region| region.public.url.is_none())
            }) {
                let message = format!("the zone `{name}` redirects its misdirected callers here; give the URL");
                self.problem(format!("regions.{region}.public.url"), message);
            }
        }
    }

    fn limits(&mut self, raw: RawLimits) -> Limits {
        let mut time = |field: &str, text: Option<String>, default: &str| {
            let text = text.as_deref().unwrap_or(default);
            self.at(&format!("policy.limits.{field}"), field::duration(text)).unwrap_or(Duration::MAX)
        };
        let limits = Limits {
            connect: time("connect", raw.connect, "1s"),
            first_token: time("first_token", raw.first_token, "10s"),
            unstreamed: time("unstreamed", raw.unstreamed, "60s"),
            gap: time("gap", raw.gap, "60s"),
            answer: time("answer", raw.answer, "600s"),
            body: 0,
        };
        for (field, limit) in [("first_token", limits.first_token), ("unstreamed", limits.unstreamed), ("gap", limits.gap)] {
            if limit > limits.answer {
                let message = "is longer than `answer`, the limit of a whole answer; shorten it or lengthen `answer`";
                self.problem(format!("policy.limits.{field}"), message);
            }
        }
        let body = raw.body.as_deref().unwrap_or("64MiB");
        Limits { body: self.at("policy.limits.body", field::bytes(body)).unwrap_or(0), ..limits }
    }

    fn trust_domain(&mut self, raw: Option<String>) -> String {
        let domain = raw.unwrap_or_else(|| "meridian".into());
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
        if domain.is_empty() || !domain.chars().all(fine) {
            let message = format!("`{domain}` is not a SPIFFE trust domain; use a-z, 0-9 and -._");
            self.problem("gateways.trust_domain", message);
        }
        domain
    }
}

/// Stands in for an address that did not parse; a fleet with a problem is never built.
const UNSPECIFIED: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
