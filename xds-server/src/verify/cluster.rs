//! Clusters: follows aggregates to endpoints.

use super::endpoint::{self, End, Target};
use super::leak::{Leaks, one_of, only};
use super::owner::{Owner, Owners};
use super::{protocol, tls};
use crate::history::History;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CustomClusterType, DiscoveryType, LbConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::core::v3::health_check::HealthChecker;
use envoy_types::pb::envoy::config::core::v3::{HealthCheck, TransportSocket};
use envoy_types::pb::envoy::extensions::clusters::aggregate::v3::ClusterConfig;
use envoy_types::pb::google::protobuf::Any;
use meridian_policy::{Fleet, RegionName};
use std::collections::{BTreeMap, BTreeSet};

const AGGREGATE: &str = "envoy.clusters.aggregate";

/// What a cluster forwards requests to.
enum ClusterTarget<'f> {
    /// Other clusters, of an aggregate.
    Members(Vec<String>),
    /// Endpoints; a cluster without any refuses its requests.
    Endpoints(Vec<End<'f>>),
}

/// The targets of every cluster, by the cluster's name.
pub struct Clusters<'f>(BTreeMap<String, ClusterTarget<'f>>);

/// An endpoint that a cluster leads to, and the path to it.
pub struct Trail<'f> {
    /// E.g. `cluster chain -> cluster pool -> endpoint 10.0.1.10:8000`.
    pub path: String,
    /// The endpoint.
    pub target: Target<'f>,
}

impl<'f> Clusters<'f> {
    /// Reads all clusters, used or not.
    pub fn read(
        history: &'f History,
        home: &RegionName,
        owners: &Owners<'f>,
        clusters: &[Cluster],
        leaks: &mut Leaks,
    ) -> Self {
        let mut targets = BTreeMap::new();
        let mut guards = Vec::new();
        for cluster in clusters {
            let at = format!("clusters.{}", cluster.name);
            let target = target((history, home, owners), &at, cluster, &mut guards, leaks);
            if targets.insert(cluster.name.clone(), target).is_some() {
                leaks.add(&at, "there are two clusters of this name");
            }
        }
        Self(targets)
    }

    /// Whether the snapshot has a cluster of this name.
    pub fn has(&self, cluster: &str) -> bool {
        self.0.contains_key(cluster)
    }

    /// All endpoints that a cluster leads to, through aggregates.
    pub fn follow(&self, at: &str, cluster: &str, leaks: &mut Leaks) -> Vec<Trail<'f>> {
        let mut follow = Follow {
            clusters: self,
            leaks,
            above: Vec::new(),
            done: BTreeSet::new(),
            trails: Vec::new(),
        };
        follow.cluster(at, cluster);
        follow.trails
    }
}

/// A depth-first search through aggregates.
struct Follow<'w, 'f> {
    clusters: &'w Clusters<'f>,
    leaks: &'w mut Leaks,
    /// Aggregates on the path to the current cluster.
    above: Vec<String>,
    done: BTreeSet<String>,
    trails: Vec<Trail<'f>>,
}

impl Follow<'_, '_> {
    fn cluster(&mut self, at: &str, name: &str) {
        let path = format!("{at} -> cluster {name}");
        if self.above.iter().any(|above| above == name) {
            self.leaks.add(&path, "the clusters lead back to this one");
            return;
        }
        if !self.done.insert(name.to_owned()) {
            return;
        }
        match self.clusters.0.get(name) {
            None => self.leaks.add(&path, "there is no such cluster"),
            Some(ClusterTarget::Members(members)) => {
                self.above.push(name.to_owned());
                for member in members {
                    self.cluster(&path, member);
                }
                self.above.pop();
            }
            Some(ClusterTarget::Endpoints(ends)) => {
                self.trails.extend(ends.iter().map(|end| Trail {
                    path: format!("{path} -> endpoint {}", end.shown),
                    target: end.target.clone(),
                }))
            }
        }
    }
}

fn target<'f>(
    (history, home, owners): (&'f History, &RegionName, &Owners<'f>),
    at: &str,
    cluster: &Cluster,
    guards: &mut Vec<Any>,
    leaks: &mut Leaks,
) -> ClusterTarget<'f> {
    match &cluster.cluster_discovery_type {
        Some(ClusterDiscoveryType::ClusterType(custom)) => {
            let members = members(&history.current, at, (cluster, custom), guards, leaks);
            ClusterTarget::Members(members)
        }
        // A cluster without a type is STATIC, the enumeration's default.
        None => ClusterTarget::Endpoints(ends(history, home, owners, at, cluster, leaks)),
        Some(ClusterDiscoveryType::Type(kind)) => {
            match DiscoveryType::try_from(*kind) {
                Ok(
                    DiscoveryType::Static | DiscoveryType::StrictDns | DiscoveryType::LogicalDns,
                ) => {}
                Ok(other) => {
                    leaks.unsupported(at, format!("a cluster of type {}", other.as_str_name()))
                }
                Err(_) => leaks.unsupported(at, "a cluster of this type"),
            }
            ClusterTarget::Endpoints(ends(history, home, owners, at, cluster, leaks))
        }
    }
}

fn members(
    fleet: &Fleet,
    at: &str,
    (cluster, custom): (&Cluster, &CustomClusterType),
    guards: &mut Vec<Any>,
    leaks: &mut Leaks,
) -> Vec<String> {
    let supported = only!(
        Cluster,
        cluster,
        [
            name,
            alt_stat_name,
            cluster_discovery_type,
            connect_timeout,
            lb_policy,
            circuit_breakers,
            typed_extension_protocol_options,
        ]
    );
    leaks.check_fields(at, cluster, &supported);
    let options = &cluster.typed_extension_protocol_options;
    protocol::of_chain(fleet, at, options, guards, leaks);
    if custom.name != AGGREGATE || cluster.lb_policy() != LbPolicy::ClusterProvided {
        leaks.unsupported(at, format!("a cluster of type `{}`", custom.name));
    }
    let config: Option<ClusterConfig> = leaks.unpack_required(at, custom.typed_config.as_ref());
    config.map(|config| config.clusters).unwrap_or_default()
}

fn ends<'f>(
    history: &'f History,
    home: &RegionName,
    owners: &Owners<'f>,
    at: &str,
    cluster: &Cluster,
    leaks: &mut Leaks,
) -> Vec<End<'f>> {
    let supported = only!(
        Cluster,
        cluster,
        [
            name,
            alt_stat_name,
            cluster_discovery_type,
            connect_timeout,
            per_connection_buffer_limit_bytes,
            lb_policy,
            load_assignment,
            health_checks,
            circuit_breakers,
            typed_extension_protocol_options,
            dns_lookup_family,
            wait_for_warm_on_init,
            ignore_health_on_host_removal,
            outlier_detection,
            cleanup_interval,
            common_lb_config,
            transport_socket,
            lb_config,
        ]
    );
    leaks.check_fields(at, cluster, &supported);
    if matches!(cluster.lb_config, Some(LbConfig::OriginalDstLbConfig(_))) {
        leaks.unsupported(at, "`original_dst_lb_config` of this Cluster");
    }
    protocol::upstream(at, &cluster.typed_extension_protocol_options, leaks);
    for check in &cluster.health_checks {
        probe(at, check, leaks);
    }
    let ends = match &cluster.load_assignment {
        Some(assignment) => endpoint::read(at, assignment, owners, leaks),
        None => Vec::new(),
    };
    transport(history, home, at, cluster, &ends, leaks);
    ends
}

/// Checks the transport socket against every owner of the endpoints.
fn transport(
    history: &History,
    home: &RegionName,
    at: &str,
    cluster: &Cluster,
    ends: &[End<'_>],
    leaks: &mut Leaks,
) {
    let socket = cluster.transport_socket.as_ref();
    for end in ends {
        let Target::Owned { owners, providers } = &end.target else {
            to_own(at, socket, leaks);
            continue;
        };
        for owner in owners {
            match owner {
                Owner::Gateway(region) | Owner::DatabaseGateway(region) => {
                    let mut fleets = history.fleets();
                    let of = fleets.find(|fleet| fleet.regions.contains_key(*region));
                    let fleet = of.unwrap_or(&history.current);
                    tls::to_gateway(fleet, home, region, at, socket, leaks);
                }
                Owner::Provider(_) => one_of(providers, leaks, |provider, leaks| {
                    tls::to_provider(&provider.fallback.endpoint, at, socket, leaks);
                }),
                Owner::Pool(_) | Owner::Database(_) => to_own(at, socket, leaks),
            }
        }
    }
}

fn to_own(at: &str, socket: Option<&TransportSocket>, leaks: &mut Leaks) {
    if socket.is_some() {
        let what = "a transport socket to a pool, a database or an internal listener";
        leaks.unsupported(at, what);
    }
}

/// Health checks carry nothing of a request; any HTTP or TCP check is allowed.
fn probe(at: &str, check: &HealthCheck, leaks: &mut Leaks) {
    let supported = only!(
        HealthCheck,
        check,
        [
            timeout,
            interval,
            initial_jitter,
            interval_jitter,
            interval_jitter_percent,
            unhealthy_threshold,
            healthy_threshold,
            reuse_connection,
            no_traffic_interval,
            no_traffic_healthy_interval,
            unhealthy_interval,
            unhealthy_edge_interval,
            healthy_edge_interval,
            health_checker,
        ]
    );
    leaks.check_fields(at, check, &supported);
    if !matches!(
        check.health_checker,
        Some(HealthChecker::HttpHealthCheck(_) | HealthChecker::TcpHealthCheck(_))
    ) {
        leaks.unsupported(at, "this health check");
    }
}
