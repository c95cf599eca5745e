//! The certificates of the connection to the control plane. They cannot come over this connection, so they come by files
//! that Envoy watches: one for each secret, since Envoy takes no more than one from a file.

use crate::tls;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::{ApiVersion, ConfigSource, PathConfigSource};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{SdsSecretConfig, Secret};
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use envoy_types::util::pack_any;
use meridian_policy::fleet::Gateway;
use meridian_policy::{Fleet, RegionName};
use std::path::Path;

/// The files by which a gateway's Envoy finds the certificates of its connection to the control plane: name and content.
/// Empty if the region is unknown, or there is no TLS to the control plane.
pub fn secret_files(fleet: &Fleet, home: &RegionName) -> Vec<(String, DiscoveryResponse)> {
    let control_plane = fleet.control_plane.as_ref();
    let with_tls = control_plane.is_some_and(|control_plane| control_plane.tls.is_some());
    let region = fleet.regions.get(home).filter(|_| with_tls);
    let secrets = region.into_iter().flat_map(|region| own(&region.gateway));
    secrets
        .map(|secret| {
            let name = file_name(&secret.name);
            let response = DiscoveryResponse {
                resources: vec![pack_any(secret)],
                ..Default::default()
            };
            (name, response)
        })
        .collect()
}

/// The secrets of a gateway for mutual TLS.
pub(super) fn own(gateway: &Gateway) -> [Secret; 2] {
    [tls::certificate(gateway), tls::authority(gateway)]
}

/// A secret of a file in this directory; without one, of the bootstrap.
pub(super) fn of(name: &str, directory: Option<&Path>) -> SdsSecretConfig {
    let source = directory.map(|directory| ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::PathConfigSource(PathConfigSource {
            path: directory.join(file_name(name)).display().to_string(),
            ..Default::default()
        })),
        ..Default::default()
    });
    tls::by_source(name, source)
}

fn file_name(secret: &str) -> String {
    format!("{secret}.sds.yaml")
}
