//! The peer listener: other gateways send requests over mTLS, and they go to this region's pools only. Envoy's own RBAC
//! decides which gateway may send which zone.

use super::public::connection_manager;
use super::retry::on_another_host;
use super::route_tree::RouteTree;
use super::route::by_header;
use crate::wire::{address, duration, exactly, header_is, http_filter, no, number, seconds, transport_socket, yes};
use super::node::Node;
use super::{access_log, filter, local_reply};
use crate::{name, tls};
use envoy_types::pb::envoy::config::core::v3::Http2ProtocolOptions;
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, Listener};
use envoy_types::pb::envoy::config::rbac::v3::principal::{Authenticated, Identifier, Set};
use envoy_types::pb::envoy::config::rbac::v3::rbac::Action;
use envoy_types::pb::envoy::config::rbac::v3::{Permission, Policy, Principal, Rbac as Rules, permission};
use envoy_types::pb::envoy::config::route::v3::route::Action as RouteTo;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
};
use envoy_types::pb::envoy::extensions::filters::http::health_check::v3::HealthCheck;
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    CodecType, RouteSpecifier,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;
use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatcher;
use envoy_types::pb::envoy::r#type::v3::Percent;
use envoy_types::pb::google::protobuf::UInt64Value;
use meridian_planner::chain::passes_through;
use meridian_policy::fleet::{Region, Zone};
use meridian_policy::{ModelName, RegionName, ZoneId, ZoneName, api, headers};
use std::collections::{BTreeMap, HashMap};

/// Path of the pool health check; a header names the model.
pub const HEALTH_PATH: &str = "/health";

/// Window of a stream, in bytes. With Envoy's default of 64 KiB a stream over 150 ms carries 0.4 MB/s.
pub const WINDOW: u32 = 16 << 20;

/// The definitions of zones that requests may be of.
type Definitions<'n> = BTreeMap<&'n ZoneId, (&'n ZoneName, &'n Zone)>;

pub fn listener(node: &Node<'_>, earlier: &[Node<'_>], region: &Region) -> Listener {
    let definitions: Definitions<'_> = std::iter::once(node)
        .chain(earlier)
        .flat_map(|node| &node.zones)
        .map(|(name, (id, zone))| (*id, (*name, *zone)))
        .collect();
    let http_filters = http_filters(node, &definitions, region);
    let manager = HttpConnectionManager {
        stat_prefix: "peer".into(),
        codec_type: CodecType::Http2.into(),
        access_log: access_log::of_requests(&node.topology.access_log, node.home, "peer"),
        http2_protocol_options: Some(Http2ProtocolOptions {
            initial_stream_window_size: number(WINDOW),
            initial_connection_window_size: number(2 * WINDOW),
            ..Default::default()
        }),
        // The caller's gateway enforces the time limits of responses.
        stream_idle_timeout: seconds(0),
        request_headers_timeout: seconds(10),
        local_reply_config: Some(local_reply::for_peers()),
        http_filters,
        route_specifier: Some(RouteSpecifier::RouteConfig(routes(
            node,
            &definitions,
            region,
        ))),
        ..Default::default()
    };
    let mut sans: Vec<_> = others(node)
        .map(|other| tls::gateway_san(node.topology, other))
        .collect();
    if sans.is_empty() {
        // An empty list would admit every certificate: a fleet of one region admits its own name only.
        sans.push(tls::gateway_san(node.topology, node.home));
    }
    let context = DownstreamTlsContext {
        require_client_certificate: yes(),
        common_tls_context: Some(tls::between_gateways(sans)),
        ..Default::default()
    };
    Listener {
        name: "peer".into(),
        address: address(region.gateway.listen),
        filter_chains: vec![FilterChain {
            filters: vec![connection_manager(manager)],
            transport_socket: transport_socket(context),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn http_filters(
    node: &Node<'_>,
    definitions: &Definitions<'_>,
    region: &Region,
) -> Vec<HttpFilter> {
    let mut http_filters: Vec<HttpFilter> = region
        .pools
        .keys()
        .map(|model| pool_health(node.home, model))
        .collect();
    if region.vector_db.is_some() {
        let database = header_is(headers::VECTOR_DB, "1");
        http_filters.push(health(database, name::database(node.home)));
    }
    http_filters.push(http_filter(
        "meridian.forbidden",
        forbidden(node, definitions),
    ));
    http_filters.push(http_filter("meridian.allowed", allowed(node, definitions)));
    http_filters.push(filter::pool(node.topology, node.home));
    http_filters.push(http_filter("envoy.filters.http.router", Router::default()));
    http_filters
}

fn others<'n>(node: &'n Node<'_>) -> impl Iterator<Item = &'n RegionName> {
    node.topology
        .regions
        .keys()
        .filter(|region| *region != node.home)
}

/// The gateways that may send a zone's requests here; none if this region is not one of the zone's.
fn senders<'n>(node: &'n Node<'_>, zone: &Zone) -> Vec<&'n RegionName> {
    if zone.regions.contains(node.home) {
        others(node)
            .filter(|other| passes_through(zone, other))
            .collect()
    } else {
        Vec::new()
    }
}

/// Responds with 200 while the pool has a healthy endpoint.
fn pool_health(home: &RegionName, model: &ModelName) -> HttpFilter {
    let is_for_model = header_is(headers::MODEL, model.as_str());
    health(is_for_model, name::pool(home, model))
}

fn health(condition: HeaderMatcher, cluster: String) -> HttpFilter {
    let any = Percent { value: 1.0 };
    let check = HealthCheck {
        pass_through_mode: no(),
        headers: vec![header_is(":path", HEALTH_PATH), condition],
        cluster_min_healthy_percentages: [(cluster, any)].into(),
        ..Default::default()
    };
    http_filter("envoy.filters.http.health_check", check)
}

/// Denies each definition to gateways that may not send it. Envoy matches each value of a repeated header by itself, so a
/// request that names two must be allowed for both.
fn forbidden(node: &Node<'_>, definitions: &Definitions<'_>) -> Rbac {
    let policies = definitions.iter().map(|(id, (_, zone))| {
        let welcome = senders(node, zone);
        let principal = if welcome.is_empty() {
            Identifier::Any(true)
        } else {
            let ids = welcome
                .into_iter()
                .map(|region| gateway(node, region))
                .collect();
            let identifier = Some(Identifier::OrIds(Set { ids }));
            Identifier::NotId(Box::new(Principal { identifier }))
        };
        let principal = Principal {
            identifier: Some(principal),
        };
        (format!("zone/{id}"), policy(id, vec![principal]))
    });
    rbac(Action::Deny, policies.collect())
}

/// Allows each definition to the gateways that may send it, and nothing else.
fn allowed(node: &Node<'_>, definitions: &Definitions<'_>) -> Rbac {
    let policies = definitions.iter().filter_map(|(id, (_, zone))| {
        let principals: Vec<Principal> = senders(node, zone)
            .into_iter()
            .map(|region| gateway(node, region))
            .collect();
        (!principals.is_empty()).then(|| (format!("zone/{id}"), policy(id, principals)))
    });
    rbac(Action::Allow, policies.collect())
}

fn rbac(action: Action, policies: HashMap<String, Policy>) -> Rbac {
    let rules = Rules {
        action: action.into(),
        policies,
        ..Default::default()
    };
    Rbac {
        rules: Some(rules),
        ..Default::default()
    }
}

fn policy(definition: &ZoneId, principals: Vec<Principal>) -> Policy {
    let rule = permission::Rule::Header(header_is(headers::DEFINITION, definition.as_str()));
    Policy {
        permissions: vec![Permission { rule: Some(rule) }],
        principals,
        ..Default::default()
    }
}

fn gateway(node: &Node<'_>, region: &RegionName) -> Principal {
    Principal {
        identifier: Some(Identifier::Authenticated(Authenticated {
            principal_name: Some(exactly(&node.topology.spiffe_id(region))),
        })),
    }
}

/// The paths of inference, and no other path of a pool's servers: these have administrative APIs on the same port. The whole path must
/// match, without its query.
fn inference() -> RegexMatcher {
    let paths: Vec<&str> = api::inference_paths().collect();
    RegexMatcher {
        regex: paths.join("|"),
        ..Default::default()
    }
}

fn routes(node: &Node<'_>, definitions: &Definitions<'_>, region: &Region) -> RouteConfiguration {
    let route = |definition: &ZoneId, zone: &ZoneName, model: &ModelName| Route {
        name: format!("{zone}/{model}"),
        r#match: Some(RouteMatch {
            headers: vec![
                header_is(headers::DEFINITION, definition.as_str()),
                header_is(headers::MODEL, model.as_str()),
            ],
            path_specifier: Some(PathSpecifier::SafeRegex(inference())),
            ..Default::default()
        }),
        request_body_buffer_limit: Some(UInt64Value {
            value: node.topology.limits.body.into(),
        }),
        action: Some(RouteTo::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(name::pool(node.home, model))),
            hash_policy: by_header(headers::SLOT),
            timeout: duration(node.topology.limits.answer),
            // Retries connection failures at another endpoint. The caller's gateway handles all other failures.
            retry_policy: Some(on_another_host(RetryPolicy {
                retry_on: "connect-failure".into(),
                ..Default::default()
            })),
            ..Default::default()
        })),
        ..Default::default()
    };
    let served = definitions
        .iter()
        .filter(|(_, (_, zone))| !senders(node, zone).is_empty());
    let mut tree = RouteTree::default();
    for (id, (name, _)) in served {
        for model in region.pools.keys() {
            tree.add(id, model, [route(id, name, model)]);
        }
    }
    let virtual_host = VirtualHost {
        name: "pools".into(),
        domains: vec!["*".into()],
        include_attempt_count_in_response: true,
        // Envoy refuses a tree without branches: a gateway that no zone has.
        matcher: (!tree.is_empty()).then(|| tree.matcher(None)),
        ..Default::default()
    };
    RouteConfiguration {
        name: "peer".into(),
        virtual_hosts: vec![virtual_host],
        ..Default::default()
    }
}
