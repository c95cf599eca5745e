//! A slow, simple imitation of Envoy: every pinned caller sends every combination of headers, the first route that
//! matches is taken, and every address that it can end at is compared with the zone's own. It shares no code with
//! the verifier.

use super::edit::{all_routes, configuration, is_aggregate};
use super::fleets::id;
use crate::snapshot::Snapshot;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::ClusterDiscoveryType;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::header_mutation::Action as Mutate;
use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::envoy_internal_address::AddressNameSpecifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::transport_socket;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, Listener, filter};
use envoy_types::pb::envoy::config::rbac::v3::principal::Identifier;
use envoy_types::pb::envoy::config::rbac::v3::{Policy, Principal, permission};
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, Route};
use envoy_types::pb::envoy::extensions::clusters::aggregate::v3::ClusterConfig;
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::HeaderMutation;
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::PluginConfig;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext, secret,
};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::google::protobuf::{Any, StringValue};
use meridian_planner::plan::Plan;
use meridian_policy::fleet::{Misdirected, Pool, Zone};
use meridian_policy::{FilterPolicy, Fleet, RegionName};
use prost::{Message, Name};
use std::collections::{BTreeMap, BTreeSet};

/// The path that requests are on.
const CHAT: &str = "/v1/chat/completions";

/// Paths of an inference server that are not for other gateways.
const BESIDE_INFERENCE: [&str; 3] = ["/metrics", "/v1/load_lora_adapter", "/v1/models"];

type Headers = BTreeMap<&'static str, String>;

/// A target of a pinned request that it must not reach; `None` if there is none.
pub fn leak(fleet: &Fleet, home: &RegionName, snapshot: &Snapshot) -> Option<String> {
    let envoy = Envoy {
        fleet,
        home,
        snapshot,
    };
    let sockets = snapshot
        .listeners
        .iter()
        .filter(|listener| listener.listener_specifier.is_none());
    sockets
        .flat_map(|listener| {
            listener
                .filter_chains
                .iter()
                .chain(&listener.default_filter_chain)
        })
        .find_map(|chain| envoy.chain(chain))
}

/// A gateway.
pub struct Envoy<'s> {
    pub fleet: &'s Fleet,
    pub home: &'s RegionName,
    pub snapshot: &'s Snapshot,
}

struct Manager {
    filters: Vec<Any>,
    routes: Vec<Route>,
}

impl Manager {
    fn of(chain: &FilterChain) -> Self {
        let Some(filter::ConfigType::TypedConfig(any)) = &chain.filters[0].config_type else {
            panic!("no configuration")
        };
        let mut manager: HttpConnectionManager = open(any).unwrap();
        let filters = manager.http_filters.iter_mut();
        let filters = filters
            .filter_map(|filter| configuration(filter).cloned())
            .collect();
        let Some(RouteSpecifier::RouteConfig(routes)) = manager.route_specifier else {
            panic!("no routes")
        };
        let hosts = routes.virtual_hosts.into_iter();
        Self {
            filters,
            routes: hosts.flat_map(|host| all_routes(&host)).collect(),
        }
    }

    fn filter<M: Message + Name + Default>(&self) -> Option<M> {
        self.filters.iter().find_map(open)
    }
}

/// Whether a region's gateway may carry a pinned zone's requests.
fn carries(zone: &Zone, gateway: &RegionName) -> bool {
    zone.misdirected == Misdirected::Forward || zone.regions.contains(gateway)
}

fn open<M: Message + Name + Default>(any: &Any) -> Option<M> {
    (any.type_url == M::type_url()).then(|| M::decode(any.value.as_slice()).unwrap())
}

impl Envoy<'_> {
    /// A place that requests of callers can reach that were decided under a definition, and that its zone does not allow.
    pub fn decided(&self, name: &str, zone: &Zone, id: &str) -> Option<String> {
        let public = self.listener("public");
        let mut requests = self.requests(Some(id)).into_iter();
        requests.find_map(|headers| self.send(&public, name, zone, &headers, 0))
    }

    /// The same for requests that another gateway sends.
    pub fn sent(&self, sender: &str, name: &str, zone: &Zone, id: &str) -> Option<String> {
        let peer = self.listener("peer");
        let rbac: Vec<Rbac> = peer.filters.iter().filter_map(open).collect();
        let requests = self.requests(Some(id)).into_iter();
        let mut admitted =
            requests.filter(|headers| rbac.iter().all(|rbac| admits(rbac, sender, headers)));
        admitted.find_map(|headers| {
            if !zone.regions.contains(self.home) {
                return Some(format!("{name} is let in at {}", self.home));
            }
            self.send(&peer, name, zone, &headers, 0)
        })
    }

    /// Whether a context comes to the gateways' authority once Envoy has its secret.
    fn trusts_ours(&self, common: Option<&CommonTlsContext>) -> bool {
        let kind = common.and_then(|common| common.validation_context_type.as_ref());
        let Some(ValidationContextType::CombinedValidationContext(combined)) = kind else {
            return false;
        };
        let Some(config) = &combined.validation_context_sds_secret_config else {
            return false;
        };
        let mut secrets = self.snapshot.secrets.iter();
        let named = secrets.find(|secret| secret.name == config.name);
        let Some(secret::Type::ValidationContext(validation)) =
            named.and_then(|secret| secret.r#type.as_ref())
        else {
            return false;
        };
        let ours = Specifier::Filename(self.fleet.regions[self.home].gateway.ca.clone());
        let file = validation.trusted_ca.as_ref();
        file.is_some_and(|file| file.specifier == Some(ours))
            && validation.match_typed_subject_alt_names.is_empty()
            && validation.trust_chain_verification == 0
    }

    fn listener(&self, name: &str) -> Manager {
        let mut listeners = self.snapshot.listeners.iter();
        let listener = listeners.find(|listener| listener.name == name).unwrap();
        Manager::of(&listener.filter_chains[0])
    }

    fn pinned(&self) -> impl Iterator<Item = (&str, &Zone)> {
        let zones = self.fleet.zones.iter().filter(|(_, zone)| zone.pinned);
        zones.map(|(name, zone)| (name.as_str(), zone))
    }

    /// All headers that a caller could send, or the filter set, for a claimed definition.
    fn requests(&self, id: Option<&str>) -> Vec<Headers> {
        let mut requests = Vec::new();
        for model in self.fleet.models() {
            for lane in ["home", "fallback"] {
                for stream in ["0", "1"] {
                    let mut headers = Headers::from([
                        ("x-meridian-model", model.to_string()),
                        ("x-meridian-lane", lane.into()),
                        ("x-meridian-stream", stream.into()),
                    ]);
                    headers.extend(id.map(|id| ("x-meridian-definition", id.to_owned())));
                    requests.push(headers);
                }
            }
        }
        // While the filter reads the body there are none.
        requests.push(Headers::new());
        requests
    }

    /// The IDs of all definitions.
    fn ids(&self) -> Vec<String> {
        let names = self.fleet.zones.keys();
        names.map(|name| id(self.fleet, name.as_str())).collect()
    }

    /// The definition of a zone alone, and with every other one: Envoy matches each value of a repeated header.
    fn zone_pairs(&self, name: &str) -> Vec<Headers> {
        let own = id(self.fleet, name);
        let others = self.ids().into_iter();
        others
            .flat_map(|other| self.requests(Some(&format!("{own}\n{other}"))))
            .collect()
    }

    fn chain(&self, chain: &FilterChain) -> Option<String> {
        let manager = Manager::of(chain);
        let tls: Option<DownstreamTlsContext> =
            chain.transport_socket.as_ref().and_then(|socket| {
                let Some(transport_socket::ConfigType::TypedConfig(any)) = &socket.config_type
                else {
                    panic!("no configuration")
                };
                open(any)
            });
        let plugin = manager.filter::<Wasm>().and_then(|wasm| wasm.config);
        if let Some(plugin) = plugin.filter(|plugin| plugin.root_id != "pool") {
            return self.filtered(&manager, &plugin);
        }
        let rbac: Vec<Rbac> = manager.filters.iter().filter_map(open).collect();
        match (rbac.is_empty(), tls) {
            (false, Some(tls)) => self.peers(&manager, &rbac, &tls),
            _ => self.open(&manager),
        }
    }

    fn filtered(&self, manager: &Manager, plugin: &PluginConfig) -> Option<String> {
        let open_on_failure = 3;
        if plugin.failure_policy == open_on_failure {
            return self.open(manager);
        }
        let json: StringValue = open(plugin.configuration.as_ref().unwrap()).unwrap();
        let policy: FilterPolicy = serde_json::from_str(&json.value).unwrap();
        for (name, zone) in self.pinned() {
            let taken_for: BTreeSet<&str> = zone
                .countries
                .iter()
                .filter_map(|country| {
                    policy
                        .countries
                        .get(country)
                        .or(policy.rest_of_world.as_ref())
                })
                .map(|zone| zone.as_str())
                .collect();
            for taken_for in taken_for {
                let Some(rule) = policy.zones.get(taken_for) else {
                    continue;
                };
                if rule.turn_away.is_some() {
                    continue;
                }
                for headers in self.requests(Some(rule.definition.as_str())) {
                    if let Some(leak) = self.send(manager, name, zone, &headers, 0) {
                        return Some(leak);
                    }
                }
            }
        }
        None
    }

    fn open(&self, manager: &Manager) -> Option<String> {
        for (name, zone) in self.pinned() {
            let claims = self.ids().into_iter().map(Some);
            for claim in claims.chain([None]) {
                for headers in self.requests(claim.as_deref()) {
                    if let Some(leak) = self.send(manager, name, zone, &headers, 0) {
                        return Some(leak);
                    }
                }
            }
        }
        None
    }

    fn peers(
        &self,
        manager: &Manager,
        rbac: &[Rbac],
        tls: &DownstreamTlsContext,
    ) -> Option<String> {
        let asked = tls
            .require_client_certificate
            .as_ref()
            .is_some_and(|asked| asked.value);
        if !asked {
            return Some("a client without certificate enters".into());
        }
        let common = tls.common_tls_context.as_ref();
        if !self.trusts_ours(common) {
            return Some("a client with a certificate of another authority enters".into());
        }
        let sans = sans(common);
        for region in self.fleet.regions.keys() {
            let id = self.fleet.spiffe_id(region);
            if !sans.is_empty() && !sans.contains(&id) {
                continue;
            }
            for (name, zone) in self.pinned() {
                for headers in self.zone_pairs(name) {
                    if !rbac.iter().all(|rbac| admits(rbac, &id, &headers)) {
                        continue;
                    }
                    if !carries(zone, region) || !zone.regions.contains(self.home) {
                        return Some(format!("{name} from {region} is let in"));
                    }
                    if let Some(leak) = self.send(manager, name, zone, &headers, 0) {
                        return Some(leak);
                    }
                    let is_routed = |path: &&str| {
                        let mut routes = manager.routes.iter();
                        routes.any(|route| matches(route, path, &headers))
                    };
                    if let Some(path) = BESIDE_INFERENCE.into_iter().find(is_routed) {
                        return Some(format!("{region} reaches {path}"));
                    }
                }
            }
        }
        None
    }

    /// Sends one request through the routes, to all addresses that it can reach.
    fn send(
        &self,
        manager: &Manager,
        name: &str,
        zone: &Zone,
        headers: &Headers,
        depth: usize,
    ) -> Option<String> {
        let route = manager
            .routes
            .iter()
            .find(|route| matches(route, CHAT, headers))?;
        let Some(Action::Route(action)) = &route.action else {
            return None;
        };
        let mut clusters: Vec<&str> = action
            .request_mirror_policies
            .iter()
            .map(|mirror| mirror.cluster.as_str())
            .collect();
        match action.cluster_specifier.as_ref().unwrap() {
            ClusterSpecifier::Cluster(cluster) => clusters.push(cluster),
            ClusterSpecifier::WeightedClusters(weighted) => {
                clusters.extend(weighted.clusters.iter().map(|share| share.name.as_str()));
            }
            _ => return Some("a cluster that nobody knows".into()),
        }
        clusters
            .into_iter()
            .find_map(|cluster| self.cluster(cluster, name, zone, headers, depth))
    }

    fn cluster(
        &self,
        cluster: &str,
        name: &str,
        zone: &Zone,
        headers: &Headers,
        depth: usize,
    ) -> Option<String> {
        let found = self
            .snapshot
            .clusters
            .iter()
            .find(|found| found.name == cluster)?;
        if depth > 8 {
            return None;
        }
        if is_aggregate(found) {
            let Some(ClusterDiscoveryType::ClusterType(custom)) = &found.cluster_discovery_type
            else {
                panic!("no aggregate")
            };
            let config: ClusterConfig = open(custom.typed_config.as_ref().unwrap()).unwrap();
            let mut members = config.clusters.iter();
            return members.find_map(|member| self.cluster(member, name, zone, headers, depth + 1));
        }
        let assignment = found.load_assignment.iter();
        let mut endpoints = assignment
            .flat_map(|assignment| &assignment.endpoints)
            .flat_map(|locality| &locality.lb_endpoints);
        endpoints.find_map(|endpoint| {
            let Some(HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier else {
                panic!("no endpoint")
            };
            match endpoint.address.as_ref().unwrap().address.as_ref().unwrap() {
                AddressKind::SocketAddress(socket) => {
                    let Some(PortSpecifier::PortValue(port)) = socket.port_specifier else {
                        panic!("no port")
                    };
                    self.address(found, &socket.address, port, name, zone)
                }
                AddressKind::EnvoyInternalAddress(internal) => {
                    let Some(AddressNameSpecifier::ServerListenerName(listener)) =
                        &internal.address_name_specifier
                    else {
                        panic!("no listener")
                    };
                    self.inside(listener, name, zone, headers, depth)
                }
                AddressKind::Pipe(_) => Some("a pipe".into()),
            }
        })
    }

    fn inside(
        &self,
        listener: &str,
        name: &str,
        zone: &Zone,
        headers: &Headers,
        depth: usize,
    ) -> Option<String> {
        let mut listeners = self.snapshot.listeners.iter();
        let listener: &Listener = listeners.find(|found| found.name == listener)?;
        let manager = Manager::of(&listener.filter_chains[0]);
        let mut headers = headers.clone();
        if let Some(mutation) = manager.filter::<HeaderMutation>() {
            for mutation in mutation.mutations.unwrap().request_mutations {
                let Some(Mutate::RemoveOnMatch(on)) = mutation.action else {
                    continue;
                };
                let matcher = on.key_matcher.unwrap();
                headers.retain(|name, _| !text_matches(&matcher, name));
            }
        }
        self.send(&manager, name, zone, &headers, depth + 1)
    }

    fn address(
        &self,
        cluster: &Cluster,
        host: &str,
        port: u32,
        name: &str,
        zone: &Zone,
    ) -> Option<String> {
        let address = format!("{host}:{port}");
        let mut right = BTreeSet::new();
        let mut gateways = BTreeSet::new();
        for region in &zone.regions {
            let region = &self.fleet.regions[region];
            gateways.insert(format!(
                "{}:{}",
                region.gateway.address, region.gateway.port
            ));
            for pool in region.pools.values() {
                match pool {
                    Pool::Endpoints(endpoints) => {
                        right.extend(endpoints.iter().map(ToString::to_string))
                    }
                    Pool::Dns { host, port } => {
                        right.insert(format!("{host}:{port}"));
                    }
                }
            }
        }
        for fallback in &zone.fallbacks {
            let endpoint = &self.fleet.fallbacks[fallback].endpoint;
            right.insert(format!("{}:{}", endpoint.host, endpoint.port));
        }
        if !carries(zone, self.home) {
            return Some(format!("{name} passes through {} to {address}", self.home));
        }
        if gateways.contains(&address) {
            let any = cluster
                .transport_socket
                .as_ref()
                .map(|socket| match &socket.config_type {
                    Some(transport_socket::ConfigType::TypedConfig(any)) => any,
                    None => panic!("no configuration"),
                });
            let tls: Option<UpstreamTlsContext> = any.and_then(open);
            let proven = tls.is_some_and(|tls| {
                let common = tls.common_tls_context.as_ref();
                !sans(common).is_empty() && self.trusts_ours(common)
            });
            return (!proven).then(|| format!("{name} to whoever says to be {address}"));
        }
        (!right.contains(&address)).then(|| format!("{name} to {address}"))
    }
}

fn sans(common: Option<&CommonTlsContext>) -> Vec<String> {
    match common.and_then(|common| common.validation_context_type.as_ref()) {
        Some(ValidationContextType::CombinedValidationContext(combined)) => combined
            .default_validation_context
            .iter()
            .flat_map(|validation| &validation.match_typed_subject_alt_names)
            .filter_map(|san| match &san.matcher.as_ref()?.match_pattern {
                Some(MatchPattern::Exact(text)) => Some(text.clone()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn admits(rbac: &Rbac, id: &str, headers: &Headers) -> bool {
    let Some(rules) = &rbac.rules else {
        return true;
    };
    let admits = |policy: &Policy| {
        let zone = policy
            .permissions
            .iter()
            .any(|permission| match &permission.rule {
                Some(permission::Rule::Header(header)) => header_matches(header, headers),
                Some(permission::Rule::Any(any)) => *any,
                _ => false,
            });
        let sender = policy.principals.iter().any(|who| is(who, id));
        zone && sender
    };
    let found = rules.policies.values().any(admits);
    if rules.action == 0 { found } else { !found }
}

fn is(principal: &Principal, id: &str) -> bool {
    match &principal.identifier {
        Some(Identifier::Authenticated(who)) => who
            .principal_name
            .as_ref()
            .is_none_or(|matcher| text_matches(matcher, id)),
        Some(Identifier::Any(any)) => *any,
        Some(Identifier::OrIds(set)) => set.ids.iter().any(|who| is(who, id)),
        Some(Identifier::NotId(who)) => !is(who, id),
        _ => false,
    }
}

fn matches(route: &Route, path: &str, headers: &Headers) -> bool {
    let matching = route.r#match.as_ref().unwrap();
    let path = match matching.path_specifier.as_ref().unwrap() {
        PathSpecifier::Prefix(prefix) => path.starts_with(prefix),
        PathSpecifier::Path(exact) => path == exact,
        // Translation makes alternatives without any other operator, and an edit may make everything of them.
        PathSpecifier::SafeRegex(regex) => {
            regex.regex.split('|').any(|one| one == ".*" || one == path)
        }
        _ => panic!("a path that no edit makes"),
    };
    path && matching
        .headers
        .iter()
        .all(|matcher| header_matches(matcher, headers))
}

fn header_matches(matcher: &HeaderMatcher, headers: &Headers) -> bool {
    let value = headers.get(matcher.name.as_str());
    let matched = match (&matcher.header_match_specifier, value) {
        (Some(HeaderMatchSpecifier::StringMatch(string)), Some(value)) => {
            value.split('\n').any(|value| text_matches(string, value))
        }
        (Some(HeaderMatchSpecifier::StringMatch(_)), None) => false,
        (Some(HeaderMatchSpecifier::PresentMatch(present)), value) => value.is_some() == *present,
        _ => panic!("a matcher that no edit makes"),
    };
    matched != matcher.invert_match
}

fn text_matches(matcher: &StringMatcher, text: &str) -> bool {
    match matcher.match_pattern.as_ref().unwrap() {
        MatchPattern::Exact(exact) => text == exact,
        MatchPattern::Prefix(prefix) => text.starts_with(prefix),
        _ => panic!("a matcher that no edit makes"),
    }
}

#[test]
fn good_snapshots_do_not_leak() {
    use super::fleets::{EXAMPLE, LONE, TWO_PINNED, fleet};
    for text in [EXAMPLE, TWO_PINNED, LONE] {
        let fleet = fleet(text);
        for home in fleet.regions.keys() {
            let snapshot = crate::translate::translate(&fleet, &Plan::default(), home, None);
            assert_eq!(leak(&fleet, home, &snapshot), None, "{home}");
        }
    }
}
