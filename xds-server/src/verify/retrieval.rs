//! Retrieval: listeners that proxy TCP connections. A connection does not say which zone it is for, so its client and its
//! database must be on the same side of the border of every pinned zone.

use super::endpoint::Target;
use super::leak::{Leaks, only};
use super::owner::Owner;
use super::residency::is_inside;
use super::tls;
use super::walk::Walk;
use super::wasm;
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress, TransportSocket};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, filter};
use envoy_types::pb::envoy::config::rbac::v3::rbac::Action;
use envoy_types::pb::envoy::config::rbac::v3::{Permission, Policy, Rbac as Rules, permission};
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;
use envoy_types::pb::envoy::extensions::filters::network::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;
use envoy_types::pb::google::protobuf::Any;
use meridian_policy::{RegionName, ZoneName};
use prost::Name;

/// The clients of a listener for retrieval.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clients {
    /// Any client that reaches the socket: applications of the region.
    Region,
    /// Other gateways, by mTLS and RBAC.
    Gateways,
    /// The listener for the region, in the same Envoy.
    Internal,
}

/// Whether a filter chain proxies connections instead of HTTP requests.
pub fn is_of_connections(chain: &FilterChain) -> bool {
    let kinds = [TcpProxy::type_url(), Rbac::type_url(), Wasm::type_url()];
    let configured = chain.filters.iter().filter_map(configuration);
    configured
        .into_iter()
        .any(|any| kinds.contains(&any.type_url))
}

fn configuration(filter: &Filter) -> Option<&Any> {
    match &filter.config_type {
        Some(filter::ConfigType::TypedConfig(any)) => Some(any),
        _ => None,
    }
}

fn is<M: Name>(filter: &Filter) -> bool {
    configuration(filter).is_some_and(|any| any.type_url == M::type_url())
}

impl<'f> Walk<'f> {
    /// Checks a filter chain that proxies connections. An internal listener has no address.
    pub fn retrieval(&mut self, at: &str, chain: &FilterChain, address: Option<&Address>) {
        let (rbac, plugin, proxy) = match chain.filters.as_slice() {
            [proxy] => (None, None, proxy),
            [plugin, proxy] if is::<Wasm>(plugin) => (None, Some(plugin), proxy),
            [rbac, proxy] if is::<Rbac>(rbac) => (Some(rbac), None, proxy),
            [rbac, plugin, proxy] if is::<Rbac>(rbac) && is::<Wasm>(plugin) => {
                (Some(rbac), Some(plugin), proxy)
            }
            _ => {
                self.leaks.unsupported(
                    at,
                    "a chain for connections that is not RBAC, if anything, the plugin `retrieval`, and a TCP proxy",
                );
                return;
            }
        };
        let socket = chain.transport_socket.as_ref();
        if let Some(from) = self.retrieval_clients(at, address, rbac, socket) {
            self.retrieval_proxy(at, from, proxy);
            match plugin {
                Some(plugin) => self.closes(at, plugin),
                // Its connections all go into an internal listener, which has the plugin.
                None if from == Clients::Region => {}
                None => self.leaks.add(
                    at,
                    "nothing closes connections that the fleet no longer allows",
                ),
            }
        }
    }

    /// Checks that the plugin closes every connection that crosses the border of a pinned zone, also one that was open before
    /// the border was there.
    fn closes(&mut self, at: &str, plugin: &Filter) {
        let at = format!("{at}.filters[{:?}]", plugin.name);
        let wasm: Option<Wasm> = self.leaks.unpack_required(&at, configuration(plugin));
        let policy =
            wasm.and_then(|wasm| wasm::retrieval_policy(self.fleet, &at, &wasm, &mut self.leaks));
        let Some(policy) = policy else {
            return;
        };
        let may_read = self.may_read();
        let ids: Vec<String> = may_read
            .iter()
            .map(|region| self.fleet.spiffe_id(region))
            .collect();
        for reader in policy.readers.iter().filter(|reader| !ids.contains(reader)) {
            let message =
                format!("keeps connections of `{reader}`, which may not read this database");
            self.leaks.add(&at, message);
        }
        for region in &policy.databases {
            if region != self.home && !may_read.contains(&region) {
                let message = format!(
                    "keeps connections to the database of `{region}`, which may not be read here"
                );
                self.leaks.add(&at, message);
            }
        }
    }

    /// The clients that can connect; `None` if the verifier cannot tell.
    fn retrieval_clients(
        &mut self,
        at: &str,
        address: Option<&Address>,
        rbac: Option<&Filter>,
        socket: Option<&TransportSocket>,
    ) -> Option<Clients> {
        match (address, rbac) {
            (None, None) if socket.is_none() => Some(Clients::Internal),
            (None, _) => {
                self.leaks
                    .unsupported(at, "RBAC or a transport socket inside a process");
                None
            }
            (Some(_), Some(rbac)) => {
                self.readers(at, rbac, socket);
                Some(Clients::Gateways)
            }
            (Some(address), None) => {
                self.for_the_region(at, address);
                let context: Option<DownstreamTlsContext> =
                    socket.and_then(|socket| tls::context(at, socket, &mut self.leaks));
                if let Some(context) = context {
                    tls::from_callers(at, &context, &mut self.leaks);
                    if context.require_client_certificate.is_some() {
                        self.leaks.add(
                            at,
                            "client certificates are asked for, and no RBAC limits who may read",
                        );
                    }
                }
                Some(Clients::Region)
            }
        }
    }

    /// Checks the TCP proxy, and every address that it leads to.
    fn retrieval_proxy(&mut self, at: &str, from: Clients, proxy: &Filter) {
        let place = format!("{at}.filters[{:?}]", proxy.name);
        let proxy: Option<TcpProxy> = self.leaks.unpack_required(&place, configuration(proxy));
        let Some(proxy) = proxy else {
            return;
        };
        let supported = only!(
            TcpProxy,
            proxy,
            [
                stat_prefix,
                cluster_specifier,
                idle_timeout,
                access_log,
                max_connect_attempts,
                backoff_options,
                upstream_connect_mode,
                max_early_data_bytes,
            ]
        );
        self.leaks.check_fields(&place, &proxy, &supported);
        self.access_logs(&place, &proxy.access_log);
        let Some(ClusterSpecifier::Cluster(cluster)) = &proxy.cluster_specifier else {
            self.leaks.unsupported(&place, "this way to name a cluster");
            return;
        };
        for trail in self.clusters.follow(at, cluster, &mut self.leaks) {
            match trail.target {
                Target::Internal(listener) if from == Clients::Region => {
                    self.retrieval.insert(listener);
                }
                Target::Internal(_) => self.leaks.add(
                    &trail.path,
                    "retrieval goes into one listener and no further",
                ),
                Target::Owned { owners, .. } => {
                    for owner in owners {
                        self.retrieved_from(&trail.path, from, owner);
                    }
                }
            }
        }
    }

    /// Clients without a certificate are allowed at one address only: the one that the fleet names for applications of the
    /// region.
    fn for_the_region(&mut self, at: &str, address: &Address) {
        let home = self.fleet.regions.get(self.home);
        let place = home.and_then(|home| home.vector_db.as_ref());
        let is_place = place.is_some_and(|database| {
            let own = (
                database.listen.ip().to_string(),
                u32::from(database.listen.port()),
            );
            matches!(
                &address.address,
                Some(AddressKind::SocketAddress(SocketAddress {
                    address,
                    port_specifier: Some(PortSpecifier::PortValue(port)),
                    ..
                })) if (address, port) == (&own.0, &own.1)
            )
        });
        if !is_place {
            self.leaks.add(
                at,
                "anybody can retrieve here, and it is not where the fleet has the region listen for that",
            );
        }
    }

    /// Checks one address that a connection can end at.
    fn retrieved_from(&mut self, path: &str, from: Clients, owner: Owner<'f>) {
        let to = match owner {
            Owner::Database(region) if region == self.home => return,
            _ if from == Clients::Gateways => {
                let message = format!("another gateway's retrieval is sent on to {owner}");
                self.leaks.add(path, message);
                return;
            }
            Owner::DatabaseGateway(region) if region != self.home => region,
            _ => {
                let message = format!(
                    "retrieval is led to {owner}: it may only reach the region's own vector database, and others through their gateways"
                );
                self.leaks.add(path, message);
                return;
            }
        };
        if let Some(zone) = self.border(to) {
            let message = format!(
                "retrieval can reach {owner}, across the border of the pinned zone `{zone}`"
            );
            self.leaks.add(path, message);
        }
    }

    /// A pinned zone that has only one of the home region and the other region.
    fn border(&self, other: &RegionName) -> Option<&'f ZoneName> {
        let mut zones = self.fleet.zones.iter();
        let between = zones.find(|(_, zone)| {
            let (here, there) = (is_inside(zone, self.home), is_inside(zone, other));
            zone.pinned && here != there
        });
        between.map(|(name, _)| name)
    }

    /// Regions whose gateways may read the database of the home region.
    fn may_read(&self) -> Vec<&'f RegionName> {
        let regions = self.fleet.regions.iter();
        let others = regions.filter(|(name, region)| {
            *name != self.home && region.vector_db.is_some() && self.border(name).is_none()
        });
        others.map(|(name, _)| name).collect()
    }

    /// Checks that TLS and RBAC admit only the gateways that may read the database.
    fn readers(&mut self, at: &str, rbac: &Filter, socket: Option<&TransportSocket>) {
        let readers = self.may_read();
        let tls: Option<DownstreamTlsContext> =
            socket.and_then(|socket| tls::context(at, socket, &mut self.leaks));
        match tls {
            Some(tls) => {
                tls::from_gateways(self.fleet, self.home, &readers, at, &tls, &mut self.leaks);
            }
            None => self.leaks.add(
                at,
                "RBAC without TLS: no client can prove which region it is",
            ),
        }
        let at = format!("{at}.filters[{:?}]", rbac.name);
        let rbac: Option<Rbac> = self.leaks.unpack_required(&at, configuration(rbac));
        let Some(rbac) = rbac else {
            return;
        };
        self.leaks
            .check_fields(&at, &rbac, &only!(Rbac, rbac, [rules, stat_prefix]));
        let Some(rules) = &rbac.rules else {
            self.leaks.add(&at, "RBAC without rules refuses nobody");
            return;
        };
        self.leaks
            .check_fields(&at, rules, &only!(Rules, rules, [action, policies]));
        if rules.action != i32::from(Action::Allow) {
            self.leaks.unsupported(
                &at,
                "RBAC that does not refuse whatever its policies do not allow",
            );
        }
        for (name, policy) in &rules.policies {
            self.admits_readers(&format!("{at}.policies[{name:?}]"), policy, &readers);
        }
    }

    fn admits_readers(&mut self, at: &str, policy: &Policy, readers: &[&RegionName]) {
        let supported = only!(Policy, policy, [permissions, principals]);
        self.leaks.check_fields(at, policy, &supported);
        of_everything(at, &policy.permissions, &mut self.leaks);
        for principal in &policy.principals {
            let Some(sender) = self.sender(at, principal) else {
                continue;
            };
            if !readers.contains(&sender) {
                let message = format!("admits `{sender}`, which may not read this database");
                self.leaks.add(at, message);
            }
        }
    }
}

/// Permissions must be `any`: RBAC for connections is decided by principals alone.
fn of_everything(at: &str, permissions: &[Permission], leaks: &mut Leaks) {
    let any = |each: &Permission| matches!(each.rule, Some(permission::Rule::Any(true)));
    if !permissions.iter().all(any) {
        leaks.unsupported(at, "a permission that is about more than who connects,");
    }
}
