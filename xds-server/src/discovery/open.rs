//! Edits of messages that are packed in others.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    AggregatedConfigSource, ApiVersion, ConfigSource, TransportSocket, TypedExtensionConfig,
    transport_socket,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, Listener, filter};
use envoy_types::pb::envoy::extensions::filters::http::credential_injector::v3::CredentialInjector;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter,
};
use envoy_types::pb::envoy::extensions::http::injected_credentials::generic::v3::Generic;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::util::pack_any;
use prost::{Message, Name};

/// The config source of all references: the ADS stream.
pub fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(
            ConfigSourceSpecifier::Ads(AggregatedConfigSource::default()),
        ),
        ..Default::default()
    }
}

/// The unpacked message, if it is of this type.
pub fn opened<M: Message + Name + Default>(any: Option<&Any>) -> Option<M> {
    any.filter(|any| any.type_url == M::type_url())
        .and_then(|any| M::decode(any.value.as_slice()).ok())
}

/// The network filters of a listener.
pub fn network_filters(listener: &mut Listener) -> impl Iterator<Item = &mut Filter> {
    let chains = listener.filter_chains.iter_mut();
    chains
        .chain(&mut listener.default_filter_chain)
        .flat_map(|chain| &mut chain.filters)
}

/// Edits every connection manager of a listener.
pub fn managers(listener: &mut Listener, mut edit: impl FnMut(&mut HttpConnectionManager)) {
    for filter in network_filters(listener) {
        let Some(filter::ConfigType::TypedConfig(any)) = &mut filter.config_type else {
            continue;
        };
        if let Some(mut manager) = opened(Some(any)) {
            edit(&mut manager);
            *any = pack_any(manager);
        }
    }
}

/// Edits every upstream HTTP filter of a cluster.
pub fn upstream_filters(cluster: &mut Cluster, mut edit: impl FnMut(&mut HttpFilter)) {
    for any in cluster.typed_extension_protocol_options.values_mut() {
        if let Some(mut options) = opened::<HttpProtocolOptions>(Some(any))
            && !options.http_filters.is_empty()
        {
            options.http_filters.iter_mut().for_each(&mut edit);
            *any = pack_any(options);
        }
    }
}

/// The transport sockets of a listener.
pub fn sockets(listener: &mut Listener) -> impl Iterator<Item = &mut TransportSocket> {
    let chains = listener.filter_chains.iter_mut();
    chains
        .chain(&mut listener.default_filter_chain)
        .filter_map(|chain| chain.transport_socket.as_mut())
}

/// Replaces the config sources of the certificates that a TLS socket has by SDS: `from` becomes `to`. Other sources
/// stay.
pub fn certificate_sources(
    socket: &mut TransportSocket,
    from: Option<&ConfigSource>,
    to: Option<&ConfigSource>,
) {
    let Some(transport_socket::ConfigType::TypedConfig(any)) = &mut socket.config_type else {
        return;
    };
    if let Some(mut context) = opened::<DownstreamTlsContext>(Some(any)) {
        common_sources(&mut context.common_tls_context, from, to);
        *any = pack_any(context);
    } else if let Some(mut context) = opened::<UpstreamTlsContext>(Some(any)) {
        common_sources(&mut context.common_tls_context, from, to);
        *any = pack_any(context);
    }
}

fn common_sources(
    common: &mut Option<CommonTlsContext>,
    from: Option<&ConfigSource>,
    to: Option<&ConfigSource>,
) {
    let Some(common) = common else {
        return;
    };
    let authority = match &mut common.validation_context_type {
        Some(ValidationContextType::CombinedValidationContext(combined)) => {
            combined.validation_context_sds_secret_config.as_mut()
        }
        _ => None,
    };
    let certificates = common.tls_certificate_sds_secret_configs.iter_mut();
    for secret in certificates.chain(authority) {
        if secret.sds_config.as_ref() == from {
            secret.sds_config = to.cloned();
        }
    }
}

/// Replaces the config source of an injected credential: `from` becomes `to`. Other filters and sources stay.
pub fn secret_source(
    filter: &mut HttpFilter,
    from: Option<&ConfigSource>,
    to: Option<ConfigSource>,
) {
    let Some(ConfigType::TypedConfig(any)) = &mut filter.config_type else {
        return;
    };
    let Some(mut injector) = opened::<CredentialInjector>(Some(any)) else {
        return;
    };
    let Some(TypedExtensionConfig {
        typed_config: Some(credential),
        ..
    }) = &mut injector.credential
    else {
        return;
    };
    if let Some(mut generic) = opened::<Generic>(Some(credential))
        && let Some(secret) = &mut generic.credential
        && secret.sds_config.as_ref() == from
    {
        secret.sds_config = to;
        *credential = pack_any(generic);
        *any = pack_any(injector);
    }
}
