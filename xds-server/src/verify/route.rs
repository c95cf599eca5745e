//! Routes: each serves some zones, and all its targets must be allowed for all of them.

use super::entry::{Entry, exact_definition};
use super::leak::{Leaks, only};
use super::provider::Provider;
use super::retry;
use super::route_tree;
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
use meridian_policy::{api, headers};
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

impl<'f> Walk<'f> {
    /// Walks all routes of a listener. Returns those that lead to providers.
    pub fn routes(
        &mut self,
        at: &str,
        entry: &Entry,
        configuration: &RouteConfiguration,
    ) -> Vec<Egress<'f>> {
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
        let mut egresses = Vec::new();
        for host in &configuration.virtual_hosts {
            let supported = only!(
                VirtualHost,
                host,
                [
                    name,
                    domains,
                    routes,
                    matcher,
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
            let tree = host.matcher.as_ref();
            let of_tree = tree.map(|tree| route_tree::routes(&place, tree, &mut self.leaks));
            for route in host.routes.iter().chain(of_tree.iter().flatten()) {
                let at = format!("{at}.routes[{:?}]", route.name);
                egresses.extend(self.route(&at, entry, route));
            }
        }
        egresses
    }

    fn route(&mut self, at: &str, entry: &Entry, route: &Route) -> Option<Egress<'f>> {
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
        // The header of the definition must stay, because the next gateway checks it.
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
            Some(Action::DirectResponse(_)) => None,
            _ => {
                self.leaks.unsupported(at, "this kind of action");
                None
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

    /// The definitions whose requests a route can match. Other conditions can only reduce them, so they are ignored.
    fn zones_of(&mut self, at: &str, entry: &Entry, matching: Option<&RouteMatch>) -> Zones {
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
        for named in matching.headers.iter().filter_map(exact_definition) {
            zones.retain(|zone| zone.as_str() == named);
            if !self.definitions.contains_key(named) {
                self.leaks.add(
                    at,
                    format!("is for the definition `{named}`, which no fleet has"),
                );
            }
        }
        zones
    }

    fn action(
        &mut self,
        at: &str,
        entry: &Entry,
        zones: &Zones,
        action: &RouteAction,
    ) -> Option<Egress<'f>> {
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
        let mut ends = Vec::new();
        for cluster in self.clusters(at, action.cluster_specifier.as_ref()) {
            ends.extend(self.follow(at, entry, zones, cluster));
        }
        let host = match &action.host_rewrite_specifier {
            None => None,
            Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => Some(host.clone()),
            Some(_) => {
                self.leaks
                    .unsupported(at, "a host that comes from elsewhere");
                return None;
            }
        };
        let prefix = action.prefix_rewrite.clone();
        if ends.is_empty() {
            if host.is_some() || !prefix.is_empty() {
                self.leaks
                    .add(at, "host and path are rewritten for providers only");
            }
            return None;
        }
        Some(Egress {
            at: at.to_owned(),
            host,
            prefix,
            ends,
        })
    }

    /// Follows a cluster to its ends. Many routes lead callers' requests of one definition into the same clusters: once is enough.
    fn follow(
        &mut self,
        at: &str,
        entry: &Entry,
        zones: &Zones,
        cluster: String,
    ) -> Vec<BTreeSet<Provider<'f>>> {
        let of_callers = matches!(entry, Entry::Filtered | Entry::Open);
        let led = (zones.clone(), cluster);
        if of_callers && self.sound.contains(&led) {
            return Vec::new();
        }
        let before = self.leaks.count();
        let mut ends = Vec::new();
        for trail in self.clusters.follow(at, &led.1, &mut self.leaks) {
            ends.extend(self.destination(entry, zones, trail));
        }
        if of_callers && self.leaks.count() == before {
            self.sound.insert(led);
        }
        ends
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
}

/// A route to providers.
pub struct Egress<'f> {
    at: String,
    /// The host that requests get.
    host: Option<String>,
    /// The prefix that their paths get.
    prefix: String,
    /// The definitions of providers at each of its endpoints.
    pub ends: Vec<BTreeSet<Provider<'f>>>,
}

impl Egress<'_> {
    /// Reports a host or path that is not the provider's own: a shared front end routes by them.
    pub fn rewrites(&self, provider: &Provider<'_>, leaks: &mut Leaks) {
        let endpoint = &provider.fallback.endpoint;
        let host = self.host.as_ref();
        if !host.is_some_and(|host| names(endpoint, host)) {
            leaks.add(
                &self.at,
                format!("the host must be rewritten to `{}`", endpoint.host),
            );
        }
        if self.prefix != format!("{}/", endpoint.path) {
            leaks.add(
                &self.at,
                format!("the path must be rewritten to `{}/`", endpoint.path),
            );
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
