//! Egress: one internal listener per fallback, where the caller's credentials are replaced by ours.

use super::public::connection_manager;
use super::route::with_body_limit;
use crate::wire::{duration, extension, file, http_filter, number, seconds};
use super::{access_log, filter, local_reply};
use crate::name;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::HeaderMutation;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::header_mutation::{Action as Mutate, RemoveOnMatch};
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::{ApiVersion, ConfigSource, DataSource, PathConfigSource, WatchedDirectory};
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::listener::v3::listener::{InternalListenerConfig, ListenerSpecifier};
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, Listener};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::{ClusterSpecifier, HostRewriteSpecifier};
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost};
use envoy_types::pb::envoy::extensions::filters::http::credential_injector::v3::CredentialInjector;
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::{
    HeaderMutation as HeaderMutationFilter, Mutations,
};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::http::injected_credentials::generic::v3::Generic;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    GenericSecret, SdsSecretConfig, Secret as SecretResource, secret as secret_resource,
};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use meridian_policy::egress_policy::{Claude, ClaudeHost};
use meridian_policy::egress_policy::{EgressPolicy, Provider};
use meridian_policy::fleet::{Fallback, ProviderEndpoint, Secret};
use meridian_policy::{FallbackId, FallbackName, Fleet, RegionName, headers};

/// Headers with callers' credentials. The filter has an allow-list as well, but Envoy removes these by itself, and the
/// verifier checks it.
const CREDENTIALS: [&str; 5] = [
    "authorization",
    "proxy-authorization",
    "api-key",
    "x-api-key",
    "cookie",
];

/// Limit of a response that is buffered whole to be translated, in bytes. 128k tokens are less than 1 MiB.
const LARGEST_ANSWER: u32 = 16 << 20;

/// Response headers that describe our account at the provider.
const OUR_ACCOUNT: [&str; 4] = [
    "set-cookie",
    "openai-organization",
    "openai-project",
    "anthropic-organization-id",
];

/// One definition of a fallback.
pub struct Egress<'n> {
    pub id: &'n FallbackId,
    pub name: &'n FallbackName,
    pub fallback: &'n Fallback,
    pub policy: EgressPolicy,
}

/// The internal listener of a fallback.
pub fn listener(fleet: &Fleet, home: &RegionName, egress: &Egress<'_>) -> Listener {
    let short = name::short::egress(egress.name);
    let manager = HttpConnectionManager {
        stat_prefix: name::stat(&short),
        access_log: access_log::of_requests(&fleet.access_log, home, &short),
        local_reply_config: Some(local_reply::for_providers()),
        // The public listener of the same Envoy enforces the time limits.
        stream_idle_timeout: seconds(0),
        http_filters: vec![
            // It needs the zone of the request, and removes what the next filter removes.
            filter::egress(fleet, home, egress),
            http_filter("envoy.filters.http.header_mutation", strip(fleet)),
            http_filter("envoy.filters.http.credential_injector", credential(egress)),
            // Envoy would add the caller's host and path to the request.
            http_filter(
                "envoy.filters.http.router",
                Router {
                    suppress_envoy_headers: true,
                    ..Default::default()
                },
            ),
        ],
        route_specifier: Some(RouteSpecifier::RouteConfig(routes(fleet, egress))),
        ..Default::default()
    };
    Listener {
        name: name::egress(egress.id),
        stat_prefix: name::stat(&short),
        per_connection_buffer_limit_bytes: number(LARGEST_ANSWER),
        listener_specifier: Some(ListenerSpecifier::InternalListener(
            InternalListenerConfig {},
        )),
        filter_chains: vec![FilterChain {
            filters: vec![connection_manager(manager)],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// The SDS secret that names the place of our key. `None` for a key in a watched file.
pub fn secret(id: &FallbackId, fallback: &Fallback) -> Option<SecretResource> {
    let source = match &fallback.api_key {
        Secret::File(path) => file(path),
        Secret::Env(variable) => Some(DataSource {
            specifier: Some(Specifier::EnvironmentVariable(variable.clone())),
            ..Default::default()
        }),
        Secret::Sds(_) => return None,
    };
    let secret = GenericSecret {
        secret: source,
        ..Default::default()
    };
    Some(SecretResource {
        name: id.to_string(),
        r#type: Some(secret_resource::Type::GenericSecret(secret)),
    })
}

/// A file that Envoy watches. It is reloaded when another file is moved over it, or when a directory behind a symbolic
/// link is swapped, as Kubernetes does with secrets. In the second case the move happens in the directory, not at the
/// file.
fn watched(path: &str) -> ConfigSource {
    let directory = path
        .rsplit_once('/')
        .map(|(directory, _)| WatchedDirectory {
            path: format!("{directory}/"),
            ..Default::default()
        });
    let source = PathConfigSource {
        path: path.into(),
        watched_directory: directory,
        ..Default::default()
    };
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::PathConfigSource(source)),
        ..Default::default()
    }
}

fn strip(fleet: &Fleet) -> HeaderMutationFilter {
    let exact = CREDENTIALS
        .into_iter()
        .chain(fleet.sources.iter().map(|source| source.header.as_str()));
    let exact = exact.map(|name| Mutate::Remove(name.into()));
    let ours = StringMatcher {
        match_pattern: Some(MatchPattern::Prefix(headers::PREFIX.into())),
        ..Default::default()
    };
    let ours = Mutate::RemoveOnMatch(RemoveOnMatch {
        key_matcher: Some(ours),
    });
    let request_mutations = exact
        .chain([ours])
        .map(|action| HeaderMutation {
            action: Some(action),
        })
        .collect();
    let mutations = Mutations {
        request_mutations,
        ..Default::default()
    };
    HeaderMutationFilter {
        mutations: Some(mutations),
        ..Default::default()
    }
}

/// A request without our key gets an error instead of going out.
fn credential(egress: &Egress<'_>) -> CredentialInjector {
    let (header, prefix) = match &egress.fallback.provider {
        Provider::Claude(Claude {
            host: ClaudeHost::Anthropic,
            ..
        }) => ("x-api-key", ""),
        Provider::OpenaiCompatible | Provider::Claude(_) => ("authorization", "Bearer "),
    };
    let generic = Generic {
        credential: Some(match &egress.fallback.api_key {
            // The operator's file names the secret.
            Secret::Sds(path) => SdsSecretConfig {
                name: egress.name.to_string(),
                sds_config: Some(watched(path)),
            },
            Secret::File(_) | Secret::Env(_) => SdsSecretConfig {
                name: egress.id.to_string(),
                sds_config: None,
            },
        }),
        header: header.into(),
        header_value_prefix: prefix.into(),
    };
    CredentialInjector {
        overwrite: true,
        allow_request_without_credential: false,
        credential: Some(extension(
            "envoy.http.injected_credentials.generic",
            generic,
        )),
    }
}

fn routes(fleet: &Fleet, egress: &Egress<'_>) -> RouteConfiguration {
    let endpoint = &egress.fallback.endpoint;
    let action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(name::provider(egress.id))),
        host_rewrite_specifier: Some(HostRewriteSpecifier::HostRewriteLiteral(authority(
            endpoint,
        ))),
        prefix_rewrite: format!("{}/", endpoint.path),
        timeout: duration(fleet.limits.answer),
        ..Default::default()
    };
    let route = Route {
        name: egress.name.to_string(),
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix("/v1/".into())),
            ..Default::default()
        }),
        action: Some(Action::Route(action)),
        ..with_body_limit(&fleet.limits)
    };
    let virtual_host = VirtualHost {
        name: "provider".into(),
        domains: vec!["*".into()],
        routes: vec![route],
        response_headers_to_remove: OUR_ACCOUNT.map(String::from).into(),
        ..Default::default()
    };
    RouteConfiguration {
        name: name::egress(egress.id),
        virtual_hosts: vec![virtual_host],
        ..Default::default()
    }
}

fn authority(endpoint: &ProviderEndpoint) -> String {
    let ProviderEndpoint {
        host, port, tls, ..
    } = endpoint;
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.clone()
    };
    match (tls, port) {
        (true, 443) | (false, 80) => host,
        _ => format!("{host}:{port}"),
    }
}
