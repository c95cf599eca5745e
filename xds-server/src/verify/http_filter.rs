//! HTTP filters: seven types are supported; any other could send a request anywhere.

use super::walk::Walk;
use super::leak::{Leaks, only};
use super::plugin::Plugin;
use envoy_types::pb::envoy::extensions::filters::http::compressor::v3::Compressor;
use envoy_types::pb::envoy::extensions::filters::http::credential_injector::v3::CredentialInjector;
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::HeaderMutation;
use envoy_types::pb::envoy::extensions::filters::http::health_check::v3::HealthCheck;
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use prost::Name;

/// A supported filter.
pub enum Filter {
    /// Responds to health checks itself.
    Health,
    /// Compresses responses.
    Compressor,
    /// Meridian's own filter.
    Plugin(Plugin),
    /// Rejects requests by zone and client certificate.
    Rbac(Box<Rbac>),
    /// Removes headers.
    Mutation(HeaderMutation),
    /// Adds our credential.
    Credential(CredentialInjector),
    /// The last filter of every list.
    Router,
}

/// A filter and its place.
pub struct Placed {
    /// Path of the filter.
    pub at: String,
    /// The filter.
    pub filter: Filter,
}

impl Walk<'_> {
    /// Checks the filters of a connection manager, in their order.
    pub fn http_filters(&mut self, at: &str, filters: &[HttpFilter]) -> Vec<Placed> {
        let mut placed = Vec::new();
        for filter in filters {
            let at = format!("{at}.http_filters[{:?}]", filter.name);
            // `is_optional` and `disabled` are not supported: a filter that may be absent protects nothing.
            let supported = only!(HttpFilter, filter, [name, config_type]);
            self.leaks.check_fields(&at, filter, &supported);
            if let Some(filter) = self.http_filter(&at, filter) {
                placed.push(Placed { at, filter });
            }
        }
        let routers = placed
            .iter()
            .filter(|placed| matches!(placed.filter, Filter::Router));
        if routers.count() != 1
            || !matches!(placed.last(), Some(last) if matches!(last.filter, Filter::Router))
        {
            self.leaks
                .unsupported(at, "a list of filters that does not end in its only router");
        }
        placed
    }

    fn http_filter(&mut self, at: &str, filter: &HttpFilter) -> Option<Filter> {
        let any = match &filter.config_type {
            Some(ConfigType::TypedConfig(any)) => any,
            Some(ConfigType::ConfigDiscovery(_)) => {
                self.leaks
                    .unsupported(at, "a filter whose configuration is not in the snapshot");
                return None;
            }
            None => {
                self.leaks.unsupported(at, "a filter without configuration");
                return None;
            }
        };
        let url = any.type_url.as_str();
        let leaks = &mut self.leaks;
        if url == HealthCheck::type_url() {
            let check = leaks.unpack(at, any)?;
            self.health(at, &check);
            Some(Filter::Health)
        } else if url == Compressor::type_url() {
            let compressor: Compressor = leaks.unpack(at, any)?;
            let supported = only!(
                Compressor,
                compressor,
                [compressor_library, response_direction_config]
            );
            leaks.check_fields(at, &compressor, &supported);
            Some(Filter::Compressor)
        } else if Plugin::is(any) {
            Plugin::of(at, any, leaks).map(Filter::Plugin)
        } else if url == Rbac::type_url() {
            leaks
                .unpack(at, any)
                .map(|rbac| Filter::Rbac(Box::new(rbac)))
        } else if url == HeaderMutation::type_url() {
            leaks.unpack(at, any).map(Filter::Mutation)
        } else if url == CredentialInjector::type_url() {
            leaks.unpack(at, any).map(Filter::Credential)
        } else if url == Router::type_url() {
            let router = leaks.unpack(at, any)?;
            router_fields(at, &router, leaks);
            Some(Filter::Router)
        } else {
            leaks.unsupported(at, format!("the filter `{url}`"));
            None
        }
    }

    fn health(&mut self, at: &str, check: &HealthCheck) {
        if check
            .pass_through_mode
            .as_ref()
            .is_none_or(|pass| pass.value)
        {
            self.leaks
                .unsupported(at, "a health check that passes through");
        }
        for cluster in check.cluster_min_healthy_percentages.keys() {
            if !self.clusters.has(cluster) {
                self.leaks
                    .add(at, format!("there is no cluster `{cluster}`"));
            }
        }
    }
}

fn router_fields(at: &str, router: &Router, leaks: &mut Leaks) {
    let supported = only!(
        Router,
        router,
        [
            dynamic_stats,
            suppress_envoy_headers,
            respect_expected_rq_timeout
        ]
    );
    leaks.check_fields(at, router, &supported);
}
