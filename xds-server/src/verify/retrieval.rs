//! Retrieval: listeners that carry whatever comes, so that who may come and where it may go is all there is to know. Both must be
//! on the same side of the border of every pinned zone: a question says nothing about whose it is, an answer neither.

use super::endpoint::Target;
use super::leak::{Leaks, only};
use super::owner::Owner;
use super::residency::is_inside;
use super::tls;
use super::walk::Walk;
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress, TransportSocket};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, filter};
use envoy_types::pb::envoy::config::rbac::v3::rbac::Action;
use envoy_types::pb::envoy::config::rbac::v3::{Permission, Policy, Rbac as Rules, permission};
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;
use envoy_types::pb::google::protobuf::Any;
use meridian_policy::{RegionName, ZoneName};
use prost::Name;

/// Who comes to such a listener.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// Whoever reaches its socket: those in the region who retrieve.
    Region,
    /// Other gateways, by mTLS and RBAC.
    Gateways,
    /// A listener of this very gateway that is one of the first kind.
    Inside,
}

/// Whether a chain of filters is about connections, not requests.
pub fn is_of_connections(chain: &FilterChain) -> bool {
    let kinds = [TcpProxy::type_url(), Rbac::type_url()];
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

impl<'f> Walk<'f> {
    /// A chain of filters that carries connections, of a listener at an address; an internal one has none.
    pub fn retrieval(&mut self, at: &str, chain: &FilterChain, address: Option<&Address>) {
        let (rbac, proxy) = match chain.filters.as_slice() {
            [proxy] => (None, proxy),
            [rbac, proxy] => (Some(rbac), proxy),
            _ => {
                self.leaks.unknown(
                    at,
                    "a chain for connections that is not RBAC, if anything, and a TCP proxy",
                );
                return;
            }
        };
        let socket = chain.transport_socket.as_ref();
        let from = match (address, rbac) {
            (None, None) if socket.is_none() => From::Inside,
            (None, _) => {
                self.leaks
                    .unknown(at, "RBAC or a transport socket inside a process");
                return;
            }
            (Some(_), Some(rbac)) => {
                self.readers(at, rbac, socket);
                From::Gateways
            }
            (Some(address), None) => {
                self.for_the_region(at, address);
                if let Some(socket) = socket
                    && let Some(context) = tls::context(at, socket, &mut self.leaks)
                {
                    tls::from_callers(at, &context, &mut self.leaks);
                    if context.require_client_certificate.is_some() {
                        self.leaks.add(
                            at,
                            "client certificates are asked for, and no RBAC says whose may read",
                        );
                    }
                }
                From::Region
            }
        };
        let place = format!("{at}.filters[{:?}]", proxy.name);
        let proxy: Option<TcpProxy> = self.leaks.open_some(&place, configuration(proxy));
        let Some(proxy) = proxy else {
            return;
        };
        let known = only!(
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
        self.leaks.known(&place, &proxy, &known);
        self.access_logs(&place, &proxy.access_log);
        let Some(ClusterSpecifier::Cluster(cluster)) = &proxy.cluster_specifier else {
            self.leaks.unknown(&place, "this way to name a cluster");
            return;
        };
        for trail in self.clusters.follow(at, cluster, &mut self.leaks) {
            match trail.target {
                Target::Internal(listener) if from == From::Region => {
                    self.retrieval.insert(listener);
                }
                Target::Internal(_) => self.leaks.add(
                    &trail.path,
                    "retrieval goes into one listener and no further",
                ),
                Target::Owned(owners) => {
                    for owner in owners {
                        self.retrieved_from(&trail.path, from, owner);
                    }
                }
            }
        }
    }

    /// Who comes without a proof is taken for one of the region: by the place that the fleet has for them, and no other.
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

    /// Where a connection may end.
    fn retrieved_from(&mut self, path: &str, from: From, owner: Owner<'f>) {
        let to = match owner {
            Owner::Database(region) if region == self.home => return,
            _ if from == From::Gateways => {
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

    /// A pinned zone that has the home region and not the other, or the other way round.
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

    /// Other gateways prove who they are, and those that may not read are refused.
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
        let rbac: Option<Rbac> = self.leaks.open_some(&at, configuration(rbac));
        let Some(rbac) = rbac else {
            return;
        };
        self.leaks
            .known(&at, &rbac, &only!(Rbac, rbac, [rules, stat_prefix]));
        let Some(rules) = &rbac.rules else {
            self.leaks.add(&at, "RBAC without rules refuses nobody");
            return;
        };
        self.leaks
            .known(&at, rules, &only!(Rules, rules, [action, policies]));
        if rules.action != i32::from(Action::Allow) {
            self.leaks.unknown(
                &at,
                "RBAC that does not refuse whatever its policies do not allow",
            );
        }
        for (name, policy) in &rules.policies {
            self.admits_readers(&format!("{at}.policies[{name:?}]"), policy, &readers);
        }
    }

    fn admits_readers(&mut self, at: &str, policy: &Policy, readers: &[&RegionName]) {
        let known = only!(Policy, policy, [permissions, principals]);
        self.leaks.known(at, policy, &known);
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

/// A connection has nothing that a permission could be about, but who opened it.
fn of_everything(at: &str, permissions: &[Permission], leaks: &mut Leaks) {
    let any = |each: &Permission| matches!(each.rule, Some(permission::Rule::Any(true)));
    if !permissions.iter().all(any) {
        leaks.unknown(at, "a permission that is about more than who connects,");
    }
}
