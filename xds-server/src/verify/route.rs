//! Routes: each serves some zones, and all its targets must be allowed for all of them.

use super::entry::{Entry, exact_zone};
use super::leak::only;
use super::retry;
use super::walk::{Walk, Zones};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::{
    ClusterSpecifier, HostRewriteSpecifier,
};
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, WeightedCluster,
};
use meridian_policy::fleet::ProviderEndpoint;
use meridian_policy::{FallbackName, api, headers};
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

impl<'f> Walk<'f> {
    /// Walks all routes of a listener. Returns the providers that they lead to.
    pub fn routes(
        &mut self,
        at: &str,
        entry: &Entry<'f>,
        configuration: &RouteConfiguration,
    ) -> BTreeSet<&'f FallbackName> {
        let supported = only!(
            RouteConfiguration,
            configuration,
            [
                name,
                virtual_hosts,
                response_headers_to_add,
                response_headers_to_remove,
                validate_clusters,
                ignore_port_in_host_matching,
            ]
        );
        self.leaks.check_fields(at, configuration, &supported);
        let mut providers = BTreeSet::new();
        for host in &configuration.virtual_hosts {
            let supported = only!(
                VirtualHost,
                host,
                [
                    name,
                    domains,
                    routes,
                    response_headers_to_add,
                    response_headers_to_remove,
                    include_request_attempt_count,
                    include_attempt_count_in_response,
                    retry_policy,
                    hedge_policy,
                    request_body_buffer_limit,
                ]
            );
            let place = format!("{at}.virtual_hosts[{:?}]", host.name);
            self.leaks.check_fields(&place, host, &supported);
            if let Some(policy) = &host.retry_policy {
                retry::policy(&place, policy, &mut self.leaks);
            }
            for route in &host.routes {
                let at = format!("{at}.routes[{:?}]", route.name);
                providers.extend(self.route(&at, entry, route));
            }
        }
        providers
    }

    fn route(&mut self, at: &str, entry: &Entry<'f>, route: &Route) -> BTreeSet<&'f FallbackName> {
        let supported = only!(
            Route,
            route,
            [
                name,
                r#match,
                response_headers_to_add,
                response_headers_to_remove,
                request_headers_to_remove,
                request_body_buffer_limit,
                action,
            ]
        );
        self.leaks.check_fields(at, route, &supported);
        // The zone header must stay, because the next gateway checks it.
        let removed = route.request_headers_to_remove.iter();
        for header in removed.filter(|header| *header != headers::SPREAD) {
            let what = format!("`{header}` in `request_headers_to_remove` of this Route");
            self.leaks.unsupported(at, what);
        }
        if matches!(entry, Entry::Peers(_)) {
            self.inference_only(at, route.r#match.as_ref());
        }
        let zones = self.zones_of(at, entry, route.r#match.as_ref());
        match &route.action {
            Some(Action::Route(action)) => self.action(at, entry, &zones, action),
            // Envoy responds itself.
            Some(Action::DirectResponse(_)) => BTreeSet::new(),
            _ => {
                self.leaks.unsupported(at, "this kind of action");
                BTreeSet::new()
            }
        }
    }

    /// Other gateways may reach the paths of inference, and no other path of a pool's servers.
    fn inference_only(&mut self, at: &str, matching: Option<&RouteMatch>) {
        let path = matching.and_then(|matching| matching.path_specifier.as_ref());
        // Envoy compares the whole path. The paths of inference have no characters with a meaning in a regular expression.
        let paths: Vec<&str> = match path {
            Some(PathSpecifier::Path(path)) => vec![path],
            Some(PathSpecifier::SafeRegex(paths)) => paths.regex.split('|').collect(),
            _ => Vec::new(),
        };
        let is_inference = |path: &&str| api::inference_paths().any(|known| known == *path);
        if paths.is_empty() || !paths.iter().all(is_inference) {
            self.leaks.add(
                at,
                "other gateways could reach more of a pool's servers than the paths of inference",
            );
        }
    }

    /// The zones whose requests a route can match. Other conditions can only reduce them, so they are ignored.
    fn zones_of(
        &mut self,
        at: &str,
        entry: &Entry<'f>,
        matching: Option<&RouteMatch>,
    ) -> Zones<'f> {
        let mut zones = match entry {
            Entry::Filtered => self.every_zone(),
            Entry::Peers(zones) => zones.clone(),
            // Headers are not trusted here: any client may have set them, or they were removed.
            Entry::Internal(zones) => return zones.clone(),
            Entry::Open => return self.every_zone(),
        };
        let Some(matching) = matching else {
            return zones;
        };
        if matches!(
            matching.path_specifier,
            Some(PathSpecifier::ConnectMatcher(_))
        ) {
            self.leaks.unsupported(at, "a route for CONNECT");
        }
        for named in matching.headers.iter().filter_map(exact_zone) {
            zones.retain(|zone| zone.as_str() == named);
            if !self.fleet.zones.contains_key(named) {
                self.leaks.add(
                    at,
                    format!("is for the zone `{named}`, which the fleet does not have"),
                );
            }
        }
        zones
    }

    fn action(
        &mut self,
        at: &str,
        entry: &Entry<'f>,
        zones: &Zones<'f>,
        action: &RouteAction,
    ) -> BTreeSet<&'f FallbackName> {
        let supported = only!(
            RouteAction,
            action,
            [
                prefix_rewrite,
                timeout,
                idle_timeout,
                flush_timeout,
                max_stream_duration,
                retry_policy,
                hash_policy,
                hedge_policy,
                cluster_not_found_response_code,
                cluster_specifier,
                host_rewrite_specifier,
            ]
        );
        self.leaks.check_fields(at, action, &supported);
        if let Some(policy) = &action.retry_policy {
            retry::policy(at, policy, &mut self.leaks);
        }
        let mut providers = BTreeSet::new();
        for cluster in self.clusters(at, action.cluster_specifier.as_ref()) {
            for trail in self.clusters.follow(at, &cluster, &mut self.leaks) {
                providers.extend(self.destination(entry, zones, trail));
            }
        }
        self.rewrites(at, action, &providers);
        providers
    }

    fn clusters(&mut self, at: &str, specifier: Option<&ClusterSpecifier>) -> Vec<String> {
        match specifier {
            Some(ClusterSpecifier::Cluster(cluster)) => vec![cluster.clone()],
            Some(ClusterSpecifier::WeightedClusters(weighted)) => {
                // The choice among the clusters does not matter: each must be allowed.
                let supported = only!(
                    WeightedCluster,
                    weighted,
                    [clusters, random_value_specifier]
                );
                self.leaks.check_fields(at, weighted, &supported);
                let shares = weighted.clusters.iter();
                shares
                    .map(|share| {
                        let supported = only!(
                            ClusterWeight,
                            share,
                            [
                                name,
                                weight,
                                response_headers_to_add,
                                response_headers_to_remove
                            ]
                        );
                        self.leaks.check_fields(at, share, &supported);
                        share.name.clone()
                    })
                    .collect()
            }
            Some(ClusterSpecifier::ClusterHeader(header)) => {
                self.leaks
                    .unsupported(at, format!("a cluster named by the header `{header}`"));
                Vec::new()
            }
            _ => {
                self.leaks.unsupported(at, "this way to name a cluster");
                Vec::new()
            }
        }
    }

    /// A provider must get its own host and path, because a shared front end routes by them. Requests to others must
    /// not be rewritten.
    fn rewrites(&mut self, at: &str, action: &RouteAction, providers: &BTreeSet<&'f FallbackName>) {
        let host = match &action.host_rewrite_specifier {
            None => None,
            Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => Some(host),
            Some(_) => {
                self.leaks
                    .unsupported(at, "a host that comes from elsewhere");
                return;
            }
        };
        for provider in providers {
            let Some(fallback) = self.fleet.fallbacks.get(*provider) else {
                continue;
            };
            let endpoint = &fallback.endpoint;
            if !host.is_some_and(|host| names(endpoint, host)) {
                self.leaks.add(
                    at,
                    format!("the host must be rewritten to `{}`", endpoint.host),
                );
            }
            if action.prefix_rewrite != format!("{}/", endpoint.path) {
                self.leaks.add(
                    at,
                    format!("the path must be rewritten to `{}/`", endpoint.path),
                );
            }
        }
        if providers.is_empty() && (host.is_some() || !action.prefix_rewrite.is_empty()) {
            self.leaks
                .add(at, "host and path are rewritten for providers only");
        }
    }
}

fn names(endpoint: &ProviderEndpoint, authority: &str) -> bool {
    let ProviderEndpoint {
        host, port, tls, ..
    } = endpoint;
    let default = if *tls { 443 } else { 80 };
    let host = match host.parse::<Ipv6Addr>() {
        Ok(ip) => &format!("[{ip}]"),
        Err(_) => host,
    };
    authority == format!("{host}:{port}") || (authority == *host && *port == default)
}
