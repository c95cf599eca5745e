//! Regions: listeners, gateways and pools.

use super::neighbours::Neighbours;
use super::public_apis::is_public_api;
use super::{Check, Names, UNSPECIFIED, field};
use crate::fleet::raw::{RawFilterKind, RawGateway, RawPool, RawPublic, RawRegion};
use crate::name::stat;
use meridian_policy::fleet::{FilterKind, Gateway, KeyPair, Pool, Public, Region};
use meridian_policy::{ModelName, RegionName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// Largest number of Envoys of a region.
const MOST_REPLICAS: u64 = 100_000;

/// The values of the pools that have one.
fn values_of<T>(
    pools: &BTreeMap<String, RawPool>,
    what: impl Fn(&RawPool) -> Option<T>,
) -> BTreeMap<ModelName, T> {
    let values = pools
        .iter()
        .filter_map(|(model, pool)| Some((model.parse().ok()?, what(pool)?)));
    values.collect()
}

/// The model of each name in Envoy's statistics.
type StatNames = BTreeMap<String, String>;

impl Check {
    pub(super) fn regions(
        &mut self,
        raw: BTreeMap<String, RawRegion>,
        names: &Names,
    ) -> BTreeMap<RegionName, Region> {
        if raw.is_empty() {
            self.problem("regions", "a fleet needs at least one region");
        }
        let mut stat_names = StatNames::new();
        let neighbours = self.neighbours(&raw);
        let mut regions = BTreeMap::new();
        for (name, raw) in raw {
            let own_name = self.name(&format!("regions.{name}"), &name);
            let region = self.region(&name, raw, names, &neighbours, &mut stat_names);
            regions.extend(own_name.map(|name| (name, region)));
        }
        regions
    }

    fn region(
        &mut self,
        name: &str,
        raw: RawRegion,
        names: &Names,
        neighbours: &Neighbours,
        stat_names: &mut StatNames,
    ) -> Region {
        let at = format!("regions.{name}");
        let admin = self.listen(
            &format!("{at}.admin"),
            raw.admin.as_deref().unwrap_or("127.0.0.1:9901"),
        );
        if !admin.ip().is_loopback() && admin != UNSPECIFIED {
            let message = "anyone who reaches Envoy's admin interface controls the gateway; use a loopback address";
            self.problem(format!("{at}.admin"), message);
        }
        Region {
            public: self.public(&format!("{at}.public"), raw.public),
            gateway: self.gateway(&format!("{at}.gateway"), raw.gateway),
            admin,
            location: neighbours.location(name),
            nearest: self.nearest(
                &format!("{at}.nearest"),
                name,
                raw.nearest,
                names,
                neighbours,
            ),
            round_trips: neighbours.round_trips(name),
            contexts: values_of(&raw.pools, |pool| pool.context),
            names_decide: values_of(&raw.pools, |pool| {
                (pool.keep_removed == Some(false)).then_some(())
            })
            .into_keys()
            .collect(),
            health_paths: values_of(&raw.pools, |pool| pool.health.clone()),
            signals: self.signals(&format!("{at}.signals"), raw.signals, &raw.pools),
            price: self.region_price(&format!("{at}.price"), raw.price),
            vector_db: raw
                .vector_db
                .map(|raw| self.vector_db(&format!("{at}.vector_db"), raw)),
            pools: self.pools(&format!("{at}.pools"), raw.pools, stat_names),
        }
    }

    fn pools(
        &mut self,
        at: &str,
        raw: BTreeMap<String, RawPool>,
        stat_names: &mut StatNames,
    ) -> BTreeMap<ModelName, Pool> {
        let mut pools = BTreeMap::new();
        for (model, pool) in raw {
            let at = format!("{at}.{model}");
            let name: Option<ModelName> = self.name(&at, &model);
            let other = stat_names
                .entry(stat(&model))
                .or_insert_with(|| model.clone());
            if *other != model {
                let message =
                    format!("`{model}` and `{other}` would share their statistics; rename one");
                self.problem(&at, message);
            }
            let pool = self.pool(&at, pool);
            pools.extend(name.zip(pool));
        }
        pools
    }

    fn pool(&mut self, at: &str, raw: RawPool) -> Option<Pool> {
        self.context(&format!("{at}.context"), raw.context);
        if let Some(path) = &raw.health {
            self.at(&format!("{at}.health"), field::http_path(path));
        }
        match (raw.endpoints, raw.dns) {
            (Some(_), None) if raw.keep_removed.is_some() => {
                let message = "it is about pools with `dns`; remove it";
                self.problem(format!("{at}.keep_removed"), message);
                None
            }
            (Some(endpoints), None) if !endpoints.is_empty() => {
                let mut seen = BTreeSet::new();
                let mut parsed = Vec::new();
                for (index, text) in endpoints.iter().enumerate() {
                    let at = format!("{at}.endpoints[{index}]");
                    let Some(endpoint) = self.at(&at, field::endpoint(text)) else {
                        continue;
                    };
                    if !seen.insert(endpoint) {
                        self.problem(at, format!("`{text}` is listed twice; remove one"));
                    }
                    parsed.push(endpoint);
                }
                Some(Pool::Endpoints(parsed))
            }
            (None, Some(dns)) => {
                let at = format!("{at}.dns");
                let pool = self.at(&at, field::dns_pool(&dns));
                if let Some(Pool::Dns { host, .. }) = &pool {
                    self.is_ours(&at, host);
                }
                pool
            }
            _ => {
                self.problem(
                    at,
                    "give exactly one of `endpoints` (a list of ip:port) and `dns` (name:port)",
                );
                None
            }
        }
    }

    /// Checks that a host is not that of a hosted provider.
    fn is_ours(&mut self, at: &str, host: &str) {
        if is_public_api(host) {
            let message = format!(
                "`{host}` is the public API of a hosted provider, which is in no region; declare it under `fallbacks`, where its \
                 jurisdiction is checked"
            );
            self.problem(at, message);
        }
    }

    fn public(&mut self, at: &str, raw: RawPublic) -> Public {
        let listen = self.listen(
            &format!("{at}.listen"),
            raw.listen.as_deref().unwrap_or("0.0.0.0:8080"),
        );
        let url = raw
            .url
            .and_then(|url| self.at(&format!("{at}.url"), field::public_url(&url)));
        let tls = raw
            .tls
            .map(|tls| self.key_pair(&format!("{at}.tls"), tls.certificate, tls.key));
        Public { listen, url, tls }
    }

    fn gateway(&mut self, at: &str, raw: RawGateway) -> Gateway {
        let address = self
            .at(&format!("{at}.address"), field::host(&raw.address))
            .unwrap_or_default();
        self.is_ours(&format!("{at}.address"), &address);
        if raw.port == 0 {
            self.problem(format!("{at}.port"), "port 0 cannot be connected to");
        }
        let listen = match raw.listen {
            Some(listen) => self.listen(&format!("{at}.listen"), &listen),
            None => SocketAddr::new(UNSPECIFIED.ip(), raw.port),
        };
        if raw.replicas == Some(0) {
            let message = "a region needs at least one Envoy; write how many it runs at most";
            self.problem(format!("{at}.replicas"), message);
        }
        self.at_most(&format!("{at}.replicas"), raw.replicas, MOST_REPLICAS);
        let path = |file: &str| format!("/etc/meridian/tls/{file}");
        let (ca, certificate, key) = match raw.tls {
            Some(tls) => (tls.ca, tls.certificate, tls.key),
            None => (path("ca.crt"), path("gateway.crt"), path("gateway.key")),
        };
        self.path(&format!("{at}.tls.ca"), &ca);
        Gateway {
            listen,
            address,
            port: raw.port,
            identity: self.key_pair(&format!("{at}.tls"), certificate, key),
            ca,
            replicas: raw.replicas.unwrap_or(1),
            filter: match raw.filter.unwrap_or_default() {
                RawFilterKind::Wasm => FilterKind::Wasm,
                RawFilterKind::Native => FilterKind::Native,
            },
        }
    }

    pub(super) fn key_pair(&mut self, at: &str, certificate: String, key: String) -> KeyPair {
        self.path(&format!("{at}.certificate"), &certificate);
        self.path(&format!("{at}.key"), &key);
        KeyPair { certificate, key }
    }

    pub(super) fn listen(&mut self, at: &str, text: &str) -> SocketAddr {
        self.at(at, field::socket(text)).unwrap_or(UNSPECIFIED)
    }
}
