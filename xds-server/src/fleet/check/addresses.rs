//! Conflicts of addresses: a request would reach another target than its own.

use super::{Check, listed, region_at};
use crate::fleet::host::is_private;
use meridian_policy::Fleet;
use meridian_policy::fleet::{Pool, ProviderEndpoint, Region};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use url::Url;

impl Check {
    pub(super) fn addresses(&mut self, fleet: &Fleet) {
        for (name, region) in &fleet.regions {
            self.listeners(&region_at(name), region);
        }
        self.each_has_its_own(fleet);
        self.pools_are_no_gateways(fleet);
        let ours = ours(fleet);
        for (name, fallback) in &fleet.fallbacks {
            let endpoint = &fallback.endpoint;
            let known = ours.get(&reach(&endpoint.host, endpoint.port));
            let loops = known
                .cloned()
                .or_else(|| own_listener(fleet, endpoint).map(|place| vec![place]));
            if let Some(places) = loops {
                let message = format!(
                    "leads back into the fleet, to {}; give the provider's own URL",
                    listed(places)
                );
                self.problem(format!("fallbacks.{name}.url"), message);
            }
        }
        self.databases_have_their_own(fleet, &ours);
    }

    /// Checks that the listeners of one Envoy have different ports.
    fn listeners(&mut self, at: &str, region: &Region) {
        let listeners = listeners(region);
        for (index, (name, listen)) in listeners.iter().enumerate() {
            if let Some((other, _)) = listeners[..index]
                .iter()
                .find(|(_, other)| overlap(*listen, *other))
            {
                let message = format!(
                    "{listen} is taken by `{other}` of the same region; give one of the two another port"
                );
                self.problem(format!("{at}.{name}"), message);
            }
        }
    }

    /// Checks that no pool leads to its region's own gateway: a request would go round in it.
    fn pools_are_no_gateways(&mut self, fleet: &Fleet) {
        for (name, region) in &fleet.regions {
            let at = region_at(name);
            let gateway = reach(&region.gateway.address, region.gateway.port);
            for (place, index, endpoint) in pool_endpoints(&at, region) {
                let local = listeners(region)
                    .into_iter()
                    .find(|(_, listen)| endpoint.ip().is_loopback() && overlap(*listen, endpoint));
                let is_gateway = reach(&endpoint.ip().to_string(), endpoint.port()) == gateway;
                let found = local.map(|(listener, _)| listener);
                if let Some(listener) = found.or(is_gateway.then_some("gateway.address")) {
                    let message = format!(
                        "{endpoint} is this region's own gateway, `{at}.{listener}`; give the address of an inference server"
                    );
                    self.problem(format!("{place}.endpoints[{index}]"), message);
                }
            }
        }
    }

    /// Checks that no address belongs to two regions or providers.
    fn each_has_its_own(&mut self, fleet: &Fleet) {
        let mut gateways: BTreeMap<(String, u16), String> = BTreeMap::new();
        let mut urls: BTreeMap<&str, String> = BTreeMap::new();
        let mut endpoints: BTreeMap<SocketAddr, (String, String)> = BTreeMap::new();
        for (name, region) in &fleet.regions {
            let at = region_at(name);
            let address = reach(&region.gateway.address, region.gateway.port);
            if let Some(other) = gateways.insert(address, at.clone())
                && !region.gateway.address.is_empty()
            {
                let message = format!(
                    "{}:{} is the gateway of `{other}` already; each region has its own",
                    region.gateway.address, region.gateway.port
                );
                self.problem(format!("{at}.gateway.address"), message);
            }
            if let Some(url) = &region.public.url
                && let Some(other) = urls.insert(url, at.clone())
            {
                let message = format!(
                    "{url} is the URL of `{other}` already; misdirected callers could be sent in a circle, give each \
                     gateway its own"
                );
                self.problem(format!("{at}.public.url"), message);
            }
            for (place, index, endpoint) in pool_endpoints(&at, region) {
                // A loopback address is on each gateway's own machine, and a private one in each region's own network.
                if endpoint.ip().is_loopback() || is_private(endpoint.ip()) {
                    continue;
                }
                let (other, other_place) = endpoints
                    .entry(endpoint)
                    .or_insert_with(|| (at.clone(), place.clone()));
                if *other != at {
                    let message = format!(
                        "{endpoint} is in `{other_place}` already; an endpoint is in one region, else nobody can say \
                         where a request was served"
                    );
                    self.problem(format!("{place}.endpoints[{index}]"), message);
                }
            }
        }
    }
}

/// Every endpoint of a region, with the place of its pool and its index there.
fn pool_endpoints(at: &str, region: &Region) -> Vec<(String, usize, SocketAddr)> {
    let mut all = Vec::new();
    for (model, pool) in &region.pools {
        if let Pool::Endpoints(endpoints) = pool {
            let place = format!("{at}.pools.{model}");
            let canonical = |endpoint: &SocketAddr| {
                SocketAddr::new(endpoint.ip().to_canonical(), endpoint.port())
            };
            all.extend(
                endpoints
                    .iter()
                    .enumerate()
                    .map(|(index, endpoint)| (place.clone(), index, canonical(endpoint))),
            );
        }
    }
    all
}

/// A host and port. Names are in lower case already.
pub(super) fn reach(host: &str, port: u16) -> (String, u16) {
    let host = host.trim_end_matches('.');
    let ip = host.parse::<IpAddr>();
    let host = ip.map_or(host.to_owned(), |ip| ip.to_canonical().to_string());
    (host, port)
}

/// The owners of each address, by their places in the file.
pub(super) type Places = BTreeMap<(String, u16), Vec<String>>;

/// All addresses of the fleet that can be connected to, with their places.
fn ours(fleet: &Fleet) -> Places {
    let mut ours = Places::new();
    let mut add = |host: &str, port: u16, place: String| {
        ours.entry(reach(host, port)).or_default().push(place);
    };
    for (name, region) in &fleet.regions {
        let at = region_at(name);
        add(
            &region.gateway.address,
            region.gateway.port,
            format!("`{at}.gateway`"),
        );
        let url = region
            .public
            .url
            .as_deref()
            .and_then(|url| Url::parse(url).ok());
        if let Some((url, port)) = url
            .as_ref()
            .and_then(|url| Some((url, url.port_or_known_default()?)))
        {
            let host = url.host_str().unwrap_or_default();
            add(
                host.trim_matches(['[', ']']),
                port,
                format!("`{at}.public.url`"),
            );
        }
        if let Some(database) = &region.vector_db {
            let gateway = &region.gateway.address;
            add(
                &database.host,
                database.port,
                format!("`{at}.vector_db.endpoint`"),
            );
            add(
                gateway,
                database.gateway_port,
                format!("`{at}.vector_db.gateway_port`"),
            );
        }
        for (model, pool) in &region.pools {
            let place = format!("`{at}.pools.{model}`");
            match pool {
                Pool::Dns { host, port } => add(host, *port, place),
                Pool::Endpoints(endpoints) => {
                    for endpoint in endpoints {
                        add(&endpoint.ip().to_string(), endpoint.port(), place.clone());
                    }
                }
            }
        }
    }
    ours
}

/// The gateway's own listener that a loopback address of a provider would reach.
fn own_listener(fleet: &Fleet, endpoint: &ProviderEndpoint) -> Option<String> {
    let ip = endpoint.host.parse::<IpAddr>().ok()?.to_canonical();
    if !ip.is_loopback() {
        return None;
    }
    let provider = SocketAddr::new(ip, endpoint.port);
    fleet.regions.iter().find_map(|(name, region)| {
        listeners(region)
            .into_iter()
            .find(|(_, listen)| overlap(*listen, provider))
            .map(|(listener, _)| format!("`{}.{listener}`", region_at(name)))
    })
}

/// The listeners of a gateway, by their fields.
pub(super) fn listeners(region: &Region) -> Vec<(&'static str, SocketAddr)> {
    let mut listeners = vec![
        ("public.listen", region.public.listen),
        ("gateway.listen", region.gateway.listen),
        ("admin", region.admin),
    ];
    if let Some(database) = &region.vector_db {
        let for_gateways = database.listen_for_gateways(&region.gateway);
        listeners.push(("vector_db.listen", database.listen));
        listeners.push(("vector_db.gateway_port", for_gateways));
    }
    listeners
}

/// Whether two listeners, or a listener and an address, overlap. Port 0 stands for an address that did not parse.
pub(super) fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    let met = one.ip() == other.ip() || (any && one.is_ipv4() == other.is_ipv4());
    met && one.port() == other.port() && one.port() != 0
}
