//! The cluster of a pool: the home region's inference servers of one model.

use super::health::{self, health_check};
use super::{base, circuit_breakers, kind, load_assignment, with_protocol};
use crate::name;
use crate::wire::{address, seconds, socket_address};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    DiscoveryType, DnsLookupFamily, LbPolicy,
};
use envoy_types::pb::envoy::config::core::v3::health_check::HttpHealthCheck;
use envoy_types::pb::envoy::config::core::v3::{
    Http1ProtocolOptions, HttpProtocolOptions as CommonOptions,
};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config;
use meridian_policy::fleet::Pool;
use meridian_policy::{Fleet, ModelName, RegionName};

/// A cluster without traffic that resolves a pool's name: the pool's own keeps an address that the name no longer has while its
/// health check passes, and no statistic says so. `None` for a pool without a name, and for one whose name decides.
pub fn dns(fleet: &Fleet, home: &RegionName, model: &ModelName, of: &Pool) -> Option<Cluster> {
    let region = fleet.regions.get(home)?;
    let cluster_name = name::dns(home, model);
    let wanted = matches!(of, Pool::Dns { .. }) && !region.names_decide.contains(model);
    wanted.then(|| {
        let pool = pool(fleet, home, model, of);
        Cluster {
            alt_stat_name: name::stat(&cluster_name),
            load_assignment: pool
                .load_assignment
                .map(|assignment| ClusterLoadAssignment {
                    cluster_name: cluster_name.clone(),
                    ..assignment
                }),
            name: cluster_name,
            health_checks: Vec::new(),
            outlier_detection: None,
            ..pool
        }
    })
}

/// The cluster of a pool. The filter picks the server by a slot ([`meridian_filter_core::slots`]); Envoy leaves out
/// unhealthy ones.
pub fn pool(fleet: &Fleet, home: &RegionName, model: &ModelName, pool: &Pool) -> Cluster {
    let (discovery, addresses) = match pool {
        Pool::Endpoints(endpoints) => (
            DiscoveryType::Static,
            endpoints.iter().map(|each| address(*each)).collect(),
        ),
        Pool::Dns { host, port } => (DiscoveryType::StrictDns, vec![socket_address(host, *port)]),
    };
    let region = fleet.regions.get(home);
    let path = region.and_then(|region| region.health_paths.get(model));
    let check = HttpHealthCheck {
        host: home.to_string(),
        path: path.cloned().unwrap_or_else(|| "/health".into()),
        ..Default::default()
    };
    // vLLM's web server closes idle connections after 5 s. Close them earlier, so that no request races with the close.
    let idle = CommonOptions {
        idle_timeout: seconds(4),
        ..Default::default()
    };
    let http1 =
        explicit_http_config::ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default());
    let cluster_name = name::pool(home, model);
    Cluster {
        cluster_discovery_type: Some(kind(discovery)),
        dns_lookup_family: DnsLookupFamily::V4Preferred.into(),
        ignore_health_on_host_removal: region
            .is_some_and(|region| region.names_decide.contains(model)),
        lb_policy: LbPolicy::Maglev.into(),
        health_checks: vec![health_check(check)],
        outlier_detection: health::of_servers(),
        circuit_breakers: circuit_breakers(&fleet.limits),
        load_assignment: load_assignment(&cluster_name, home.as_str(), Some(home), addresses),
        ..with_protocol(base(&cluster_name, fleet.limits.connect), http1, Some(idle))
    }
}
