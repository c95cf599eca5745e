//! Listeners: walks every filter chain, down to its routes.

use super::entry::Entry;
use super::leak::only;
use super::walk::{Walk, Zones};
use super::{endpoint, protocol, report, retrieval};
use envoy_types::pb::envoy::config::accesslog::v3::{AccessLog, access_log};
use envoy_types::pb::envoy::config::core::v3::TransportSocket;
use envoy_types::pb::envoy::config::listener::v3::listener::ListenerSpecifier;
use envoy_types::pb::envoy::config::listener::v3::{
    Filter, FilterChain, Listener, ListenerFilter, filter, listener_filter,
};
use envoy_types::pb::envoy::extensions::access_loggers::file::v3::FileAccessLog;
use envoy_types::pb::envoy::extensions::access_loggers::open_telemetry::v3::OpenTelemetryAccessLogConfig;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use prost::Name;
use std::collections::{BTreeMap, BTreeSet};

impl<'f> Walk<'f> {
    /// Walks all listeners. Those with a socket come first, because they decide which zones reach the internal ones.
    pub fn listeners(&mut self, listeners: &[Listener]) {
        let mut names = BTreeSet::new();
        let mut internal = BTreeMap::new();
        for listener in listeners {
            let at = format!("listeners.{}", listener.name);
            if !names.insert(&listener.name) {
                self.leaks.add(&at, "there are two listeners of this name");
            }
            self.listener_fields(&at, listener);
            if listener.listener_specifier.is_some() {
                internal.insert(listener.name.clone(), (at, listener));
            } else {
                self.chains(&at, listener, None);
            }
        }
        for name in self.routed.keys().chain(&self.retrieval) {
            if !internal.contains_key(name) {
                let at = format!("listeners.{name}");
                self.leaks
                    .add(&at, "is led to, but there is no such internal listener");
            }
        }
        for (name, (at, listener)) in internal {
            let zones = self.routed.get(&name).cloned().unwrap_or_default();
            self.chains(&at, listener, Some(zones));
        }
    }

    fn listener_fields(&mut self, at: &str, listener: &Listener) {
        let supported = only!(
            Listener,
            listener,
            [
                name,
                address,
                stat_prefix,
                listener_filters,
                filter_chains,
                default_filter_chain,
                per_connection_buffer_limit_bytes,
                enable_reuse_port,
                access_log,
                listener_specifier,
                // Of a socket that only accepts connections.
                socket_options,
            ]
        );
        self.leaks.check_fields(at, listener, &supported);
        for filter in &listener.listener_filters {
            self.listener_filter(at, filter);
        }
        self.access_logs(at, &listener.access_log);
        match (&listener.listener_specifier, &listener.address) {
            (Some(ListenerSpecifier::InternalListener(_)), None) => {}
            (None, Some(address)) => endpoint::listens(at, address, &mut self.leaks),
            _ => self
                .leaks
                .unsupported(at, "a listener that is not either internal or on a socket"),
        }
    }

    /// A listener filter may read the TLS client hello, from which Envoy chooses the filter chain. Any other could change the
    /// address that a connection comes from.
    fn listener_filter(&mut self, at: &str, filter: &ListenerFilter) {
        let at = format!("{at}.listener_filters[{:?}]", filter.name);
        let any = match &filter.config_type {
            Some(listener_filter::ConfigType::TypedConfig(any)) => Some(any),
            _ => None,
        };
        let supported = only!(ListenerFilter, filter, [name, config_type]);
        self.leaks.check_fields(&at, filter, &supported);
        let inspector: Option<TlsInspector> = self.leaks.unpack_required(&at, any);
        if let Some(inspector) = inspector {
            let supported = only!(TlsInspector, inspector, []);
            self.leaks.check_fields(&at, &inspector, &supported);
        }
    }

    /// `inside`: the zones whose requests reach an internal listener.
    fn chains(&mut self, at: &str, listener: &Listener, inside: Option<Zones>) {
        let chains = listener.filter_chains.iter();
        for chain in chains.chain(&listener.default_filter_chain) {
            // Filter chain matches are ignored: any connection may get any chain.
            let supported = only!(
                FilterChain,
                chain,
                [
                    filter_chain_match,
                    filters,
                    transport_socket,
                    transport_socket_connect_timeout,
                    name
                ]
            );
            self.leaks.check_fields(at, chain, &supported);
            if retrieval::is_of_connections(chain) {
                self.retrieval(at, chain, listener.address.as_ref());
                if self.routed.contains_key(&listener.name) {
                    self.leaks
                        .add(at, "requests are led into a listener for retrieval");
                }
                continue;
            }
            if self.retrieval.contains(&listener.name) {
                self.leaks
                    .add(at, "retrieval is led into a listener for requests");
            }
            for filter in &chain.filters {
                self.network_filter(at, filter, chain.transport_socket.as_ref(), inside.clone());
            }
        }
    }

    fn network_filter(
        &mut self,
        at: &str,
        filter: &Filter,
        socket: Option<&TransportSocket>,
        inside: Option<Zones>,
    ) {
        let any = match &filter.config_type {
            Some(filter::ConfigType::TypedConfig(any)) => Some(any),
            _ => None,
        };
        let place = format!("{at}.filters[{:?}]", filter.name);
        let manager: Option<HttpConnectionManager> = self.leaks.unpack_required(&place, any);
        let Some(manager) = manager else {
            return;
        };
        self.manager_fields(at, &manager);
        let filters = self.http_filters(at, &manager.http_filters);
        let entry = match inside {
            Some(zones) => {
                if socket.is_some() {
                    self.leaks
                        .unsupported(at, "a transport socket inside a process");
                }
                Entry::Internal(zones)
            }
            None => self.entry(at, socket, &filters),
        };
        if matches!(entry, Entry::Filtered) {
            self.own_source(at, &manager);
        }
        let Some(RouteSpecifier::RouteConfig(routes)) = &manager.route_specifier else {
            self.leaks.add(at, "its routes are not in the snapshot");
            return;
        };
        let egresses = self.routes(at, &entry, routes);
        if let Entry::Internal(zones) = &entry {
            self.egress(at, &filters, &egresses, zones);
        }
    }

    fn manager_fields(&mut self, at: &str, manager: &HttpConnectionManager) {
        let supported = only!(
            HttpConnectionManager,
            manager,
            [
                codec_type,
                stat_prefix,
                http_filters,
                common_http_protocol_options,
                http_protocol_options,
                http2_protocol_options,
                server_name,
                max_request_headers_kb,
                stream_idle_timeout,
                stream_flush_timeout,
                request_timeout,
                request_headers_timeout,
                drain_timeout,
                delayed_close_timeout,
                access_log,
                use_remote_address,
                xff_num_trusted_hops,
                internal_address_config,
                generate_request_id,
                always_set_request_id_in_response,
                normalize_path,
                merge_slashes,
                path_with_escaped_slashes_action,
                local_reply_config,
                strip_port_mode,
                strip_matching_host_port,
                route_specifier,
            ]
        );
        self.leaks.check_fields(at, manager, &supported);
        if let Some(options) = &manager.http_protocol_options {
            protocol::http1(at, options, &mut self.leaks);
        }
        if let Some(options) = &manager.http2_protocol_options {
            protocol::http2(at, options, &mut self.leaks);
        }
        self.access_logs(at, &manager.access_log);
    }

    /// The filter trusts zone headers by the address of the connection, so callers must not be able to set that
    /// address.
    fn own_source(&mut self, at: &str, manager: &HttpConnectionManager) {
        let remote = manager.use_remote_address.as_ref();
        if !remote.is_some_and(|remote| remote.value) || manager.xff_num_trusted_hops != 0 {
            self.leaks.add(
                at,
                "a caller could forge the address that its zone is believed by: `use_remote_address`, and no trusted hops",
            );
        }
    }

    pub fn access_logs(&mut self, at: &str, logs: &[AccessLog]) {
        for log in logs {
            let any = log
                .config_type
                .as_ref()
                .map(|access_log::ConfigType::TypedConfig(any)| any);
            if any.is_some_and(|any| any.type_url == OpenTelemetryAccessLogConfig::type_url()) {
                report::check(at, self.fleet, any, &mut self.leaks);
                continue;
            }
            let Some(file) = self.leaks.unpack_required::<FileAccessLog>(at, any) else {
                continue;
            };
            if file.path != self.fleet.access_log {
                self.leaks.add(
                    at,
                    format!(
                        "the access log goes to `{}` instead of `{}`",
                        file.path, self.fleet.access_log
                    ),
                );
            }
        }
    }
}
