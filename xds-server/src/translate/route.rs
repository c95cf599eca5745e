//! Routes of the public listener: from the headers that the filter sets to a chain, and nowhere else.

use super::cluster::METADATA;
use super::node::Node;
use crate::name;
use crate::wire::{duration, extension, header, header_is, matches, millis, number, seconds};
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::retry_policy::{
    RateLimitedRetryBackOff, ResetHeader, ResetHeaderFormat, RetryBackOff, RetryHostPredicate,
    RetryPriority, retry_host_predicate, retry_priority,
};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::hash_policy::{
    Header as HashHeader, PolicySpecifier,
};
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, HashPolicy};
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::{
    ClusterWeight, RandomValueSpecifier,
};
use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, HedgePolicy, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch,
    VirtualHost, WeightedCluster,
};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;
use envoy_types::pb::google::protobuf::{BoolValue, UInt64Value};
use meridian_planner::batch::batch;
use meridian_planner::chain::{has_another, lane_of};
use meridian_planner::plugins::fresh_rule;
use meridian_policy::chain::Member;
use meridian_policy::filter_policy::Lane;
use meridian_policy::filter_policy::TOTAL_WEIGHT;
use meridian_policy::fleet::Limits;
use meridian_policy::{ModelName, RegionName, ZoneName, headers};
use std::collections::BTreeMap;

/// When a server wants to be asked again.
const RETRY_AFTER: &str = "retry-after";

/// Answers that another member may do better: overload, and failures that the servers' health checks do not show.
const RETRIABLE: [u32; 5] = [429, 500, 502, 503, 504];

/// The public listener's routes: two per zone, model and lane, then the catch-all. Those of the lanes that lead elsewhere are there
/// whether anybody takes them or not.
pub fn configuration(node: &Node<'_>) -> RouteConfiguration {
    let limits = &node.fleet.limits;
    let mut routes: Vec<Route> = Vec::new();
    for ((zone, model), chains) in &node.overflow {
        let Some((_, members)) = chains.first() else {
            continue;
        };
        let planned = node.plan.placement(node.home, zone, model);
        let overflow = planned.map(|placement| &placement.overflow);
        let fresh = fresh_rule(node.fleet, node.plan, zone, model, node.home);
        let batch = batch(node.fleet, node.plan, zone, model, node.home);
        let lanes = [
            (Lane::Overflow, overflow),
            (Lane::Fresh, fresh.as_ref().map(|fresh| &fresh.others)),
            (Lane::Batch, batch.as_ref().map(|batch| &batch.weights)),
        ];
        // Batch alone may be at home as well.
        let home = node.chains.get(&(*zone, *model)).and_then(|members| {
            let first = members.first()?.region()?;
            Some((first.clone(), members.clone()))
        });
        let with_home: Vec<_> = home.into_iter().chain(chains.iter().cloned()).collect();
        for (lane, weights) in lanes {
            let chains = if lane == Lane::Batch {
                &with_home
            } else {
                chains
            };
            let to = by_weight(zone, model, chains, weights);
            for stream in [true, false] {
                let to = match to.clusters.as_slice() {
                    [one] if lane == Lane::Batch => ClusterSpecifier::Cluster(one.name.clone()),
                    _ => ClusterSpecifier::WeightedClusters(to.clone()),
                };
                let is_spread = matches!(to, ClusterSpecifier::WeightedClusters(_));
                let route = route(node, zone, model, Some(lane), members, to, stream);
                routes.push(if is_spread { spread(route) } else { route });
            }
        }
    }
    // Whatever lane is left: policy and routes change one after the other, and a request may meet the one without the
    // other.
    for ((zone, model), members) in &node.chains {
        let to = ClusterSpecifier::Cluster(name::chain(zone, model, members));
        for stream in [true, false] {
            routes.push(route(node, zone, model, None, members, to.clone(), stream));
        }
    }
    // There before the body is read, so that the body's limit applies: a route without one answers 413 to long prompts.
    routes.push(Route {
        name: name::NOTHING.into(),
        r#match: Some(matching(Vec::new())),
        action: Some(Action::Route(RouteAction {
            timeout: duration(limits.answer),
            cluster_specifier: Some(ClusterSpecifier::Cluster(name::NOTHING.into())),
            ..Default::default()
        })),
        ..with_body_limit(limits)
    });
    let (namespace, key) = METADATA;
    let virtual_host = VirtualHost {
        name: "inference".into(),
        domains: vec!["*".into()],
        routes,
        include_request_attempt_count: true,
        include_attempt_count_in_response: true,
        response_headers_to_add: vec![header(
            headers::REGION,
            &format!("%UPSTREAM_METADATA({namespace}:{key})%"),
        )],
        response_headers_to_remove: vec![headers::RETRY.into(), headers::FINAL.into()],
        ..Default::default()
    };
    RouteConfiguration {
        name: "public".into(),
        virtual_hosts: vec![virtual_host],
        ..Default::default()
    }
}

/// The chains of a lane that leads elsewhere, by their weights; without any, the nearest. Their sum is always the same, and a
/// weight of nothing is left out.
fn by_weight(
    zone: &ZoneName,
    model: &ModelName,
    chains: &[(RegionName, Vec<Member>)],
    planned: Option<&BTreeMap<RegionName, u32>>,
) -> WeightedCluster {
    let weight = |index: usize, to: &RegionName| match planned {
        Some(weights) if !weights.is_empty() => weights.get(to).copied().unwrap_or(0),
        _ if index == 0 => TOTAL_WEIGHT,
        _ => 0,
    };
    let clusters = chains
        .iter()
        .enumerate()
        .map(|(index, (to, members))| ClusterWeight {
            name: name::chain(zone, model, members),
            weight: number(weight(index, to)),
            ..Default::default()
        });
    WeightedCluster {
        clusters: clusters
            .filter(|cluster| cluster.weight != number(0))
            .collect(),
        random_value_specifier: Some(RandomValueSpecifier::UseHashPolicy(BoolValue {
            value: true,
        })),
        ..Default::default()
    }
}

/// A conversation keeps its region: by a hash that the filter made for this.
fn spread(mut route: Route) -> Route {
    if let Some(Action::Route(action)) = &mut route.action {
        // Of the pool that it may end in, another header picks the server: the first one is gone by then.
        let spread = by_header(headers::SPREAD)
            .into_iter()
            .map(|policy| HashPolicy {
                terminal: true,
                ..policy
            });
        action.hash_policy = spread.chain(by_header(headers::SLOT)).collect();
    }
    route
}

/// A header is hashed: where there is a choice, the same value leads to the same place.
pub fn by_header(name: &str) -> Vec<HashPolicy> {
    let header = HashHeader {
        header_name: name.into(),
        ..Default::default()
    };
    vec![HashPolicy {
        policy_specifier: Some(PolicySpecifier::Header(header)),
        ..Default::default()
    }]
}

/// The filter's headers lead to one chain, or to several by weight.
fn route(
    node: &Node<'_>,
    zone: &ZoneName,
    model: &ModelName,
    lane: Option<Lane>,
    members: &[Member],
    to: ClusterSpecifier,
    stream: bool,
) -> Route {
    let limits = node.fleet.limits_of(zone, model);
    let (label, flag) = if stream {
        ("stream", "1")
    } else {
        ("whole", "0")
    };
    let mut matched = vec![
        header_is(headers::ZONE, zone.as_str()),
        header_is(headers::MODEL, model.as_str()),
        header_is(headers::STREAM, flag),
    ];
    matched.extend(lane.map(|lane| header_is(headers::LANE, lane.as_str())));
    let lane = lane.or(lane_of(members)).map_or("", |lane| lane.as_str());
    let action = RouteAction {
        cluster_specifier: Some(to),
        hash_policy: by_header(headers::SLOT),
        timeout: duration(limits.answer),
        // It would count from the request on, and end requests that wait for a first content: the guard ends streams that fall
        // silent after it. An answer that is not streamed is silent until it is whole.
        idle_timeout: seconds(0),
        flush_timeout: duration(limits.stream_idle_timeout),
        retry_policy: Some(retry_policy(node, &limits, model, members, stream)),
        // Past the first limit the next region is asked as well, and the first to answer wins: a hanging region is
        // left, and a fleet that is slow everywhere still answers.
        hedge_policy: Some(HedgePolicy {
            hedge_on_per_try_timeout: true,
            ..Default::default()
        }),
        ..Default::default()
    };
    Route {
        name: format!("{zone}/{model}/{lane}/{label}"),
        r#match: Some(matching(matched)),
        // It ends here, whether there was a choice or not.
        request_headers_to_remove: vec![headers::SPREAD.into()],
        action: Some(Action::Route(action)),
        ..with_body_limit(&limits)
    }
}

fn matching(headers: Vec<HeaderMatcher>) -> RouteMatch {
    RouteMatch {
        headers,
        path_specifier: Some(PathSpecifier::Prefix("/".into())),
        ..Default::default()
    }
}

/// A route before which a body of the largest size may be held.
pub fn with_body_limit(limits: &Limits) -> Route {
    Route {
        request_body_buffer_limit: Some(UInt64Value {
            value: limits.body.into(),
        }),
        ..Default::default()
    }
}

/// Seconds of `Retry-After` that are waited out at the gateway where nobody else can be asked: one digit.
const SHORT_WAIT: &str = "[0-5]";

/// One attempt per member. A chain of one has only its own other endpoints to turn to, if there are any: one that is
/// alone is asked again for what never reached it, and once it has had the little time that it asked for.
fn retry_policy(
    node: &Node<'_>,
    limits: &Limits,
    model: &ModelName,
    members: &[Member],
    stream: bool,
) -> RetryPolicy {
    let others = u32::try_from(members.len().saturating_sub(1)).unwrap_or(u32::MAX);
    if !has_another(node.fleet, model, members) {
        return RetryPolicy {
            retry_on: "connect-failure,refused-stream,retriable-headers".into(),
            num_retries: number(1),
            retriable_headers: vec![HeaderMatcher {
                name: RETRY_AFTER.into(),
                header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(matches(
                    SHORT_WAIT,
                ))),
                ..Default::default()
            }],
            rate_limited_retry_back_off: Some(RateLimitedRetryBackOff {
                reset_headers: vec![ResetHeader {
                    name: RETRY_AFTER.into(),
                    format: ResetHeaderFormat::Seconds.into(),
                }],
                max_interval: seconds(5),
            }),
            ..Default::default()
        };
    }
    let policy = RetryPolicy {
        retry_on: "connect-failure,reset,retriable-status-codes,retriable-headers".into(),
        retriable_status_codes: RETRIABLE.into(),
        retriable_headers: vec![HeaderMatcher {
            name: headers::RETRY.into(),
            header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
            ..Default::default()
        }],
        // For a prompt without length: the filter tells each request's own limit by a header.
        per_try_timeout: duration(if stream {
            limits.first_token
        } else {
            limits.unstreamed
        }),
        // The next attempt goes elsewhere: nothing is gained by waiting longer.
        retry_back_off: Some(RetryBackOff {
            base_interval: millis(5),
            max_interval: millis(50),
        }),
        ..Default::default()
    };
    if others == 0 {
        return on_another_host(policy);
    }
    let priority = extension(
        "envoy.retry_priorities.previous_priorities",
        PreviousPrioritiesConfig {
            update_frequency: 1,
        },
    );
    RetryPolicy {
        num_retries: number(others),
        retry_priority: Some(RetryPriority {
            name: priority.name,
            config_type: priority
                .typed_config
                .map(retry_priority::ConfigType::TypedConfig),
        }),
        ..policy
    }
}

/// One more attempt, at another endpoint of the same cluster if it has one.
pub fn on_another_host(policy: RetryPolicy) -> RetryPolicy {
    let predicate = extension(
        "envoy.retry_host_predicates.previous_hosts",
        PreviousHostsPredicate::default(),
    );
    RetryPolicy {
        num_retries: number(1),
        retry_host_predicate: vec![RetryHostPredicate {
            name: predicate.name,
            config_type: predicate
                .typed_config
                .map(retry_host_predicate::ConfigType::TypedConfig),
        }],
        // The balancer chooses by chance, and may choose the same again: of two, three tries miss once in sixteen.
        host_selection_retry_max_attempts: 20,
        ..policy
    }
}
