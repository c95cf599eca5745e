//! The Wasm filter in a listener.

use super::node::Node;
use crate::name::ROUTER;
use crate::wire::{file, http_filter, millis, yes};
use envoy_types::pb::envoy::config::core::v3::{
    AsyncDataSource, BackoffStrategy, async_data_source,
};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::wasm::v3::plugin_config::Vm;
use envoy_types::pb::envoy::extensions::wasm::v3::{
    CapabilityRestrictionConfig, FailurePolicy, PluginConfig, ReloadConfig, SanitizationConfig,
    VmConfig,
};
use envoy_types::pb::google::protobuf::StringValue;
use envoy_types::util::pack_any;
use meridian_planner::plugins::{egress_policy, filter_policy, guard_policy};
use meridian_policy::fleet::Fallback;
use meridian_policy::pool_policy::PoolPolicy;
use meridian_policy::{FallbackName, Fleet, RegionName};
use serde::Serialize;

/// What the filter may import of the host, and export to it: it reads and changes requests, answers them, and logs.
/// It can open no connection, send no request of its own, and read no file.
const CAPABILITIES: [&str; 36] = [
    // Imports.
    "proxy_log",
    "proxy_get_buffer_bytes",
    "proxy_set_buffer_bytes",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_get_property",
    "proxy_set_property",
    "proxy_send_local_response",
    "proxy_call_foreign_function",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_set_tick_period_milliseconds",
    "proxy_set_effective_context",
    "proxy_close_stream",
    // Exports.
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_done",
    "proxy_on_log",
    "proxy_on_delete",
    // Rust's standard library, at start.
    "environ_get",
    "environ_sizes_get",
    "random_get",
];

/// Decides where requests go, by this gateway's policy.
pub fn router(node: &Node<'_>) -> HttpFilter {
    let policy = filter_policy(node.fleet, node.plan, node.home, node.lease);
    let policy = json(&policy);
    plugin(node.fleet, ROUTER, "router", "meridian", policy)
}

/// Sees the answer to every attempt of a chain. In the router's VM: what the one learns the other acts on.
pub fn guard(fleet: &Fleet, home: &RegionName) -> HttpFilter {
    let policy = json(&guard_policy(fleet, home));
    plugin(fleet, "meridian.guard", "guard", "meridian", policy)
}

/// Picks the servers for what other gateways send. In the router's VM: they count together.
pub fn pool(fleet: &Fleet, home: &RegionName) -> HttpFilter {
    let pools = fleet.balances(home);
    plugin(
        fleet,
        "meridian.pool",
        "pool",
        "meridian",
        json(&PoolPolicy { pools }),
    )
}

/// Lets through to a provider what may go there, in its own words. In a VM of its own: a fault in it never touches routing.
pub fn egress(fleet: &Fleet, name: &FallbackName, fallback: &Fallback) -> HttpFilter {
    let policy = json(&egress_policy(fleet, name, fallback));
    let name = format!("meridian.egress/{name}");
    plugin(fleet, &name, "egress", "meridian-egress", policy)
}

/// Policies are plain data: names, numbers and lists. They always have a JSON form; without one nothing is served.
fn json(policy: &impl Serialize) -> String {
    serde_json::to_string(policy).unwrap_or_default()
}

fn plugin(fleet: &Fleet, name: &str, root: &str, vm_id: &str, configuration: String) -> HttpFilter {
    let vm = VmConfig {
        vm_id: vm_id.into(),
        runtime: "envoy.wasm.runtime.v8".into(),
        code: Some(AsyncDataSource {
            specifier: file(&fleet.filter).map(async_data_source::Specifier::Local),
        }),
        capability_restriction_config: Some(CapabilityRestrictionConfig {
            allowed_capabilities: CAPABILITIES
                .map(|name| (name.to_owned(), SanitizationConfig::default()))
                .into_iter()
                .collect(),
        }),
        ..Default::default()
    };
    let config = PluginConfig {
        name: root.into(),
        root_id: root.into(),
        configuration: Some(pack_any(StringValue {
            value: configuration,
        })),
        // Without it a request whose headers wait for the body hangs.
        allow_on_headers_stop_iteration: yes(),
        // A fault ends the streams of one worker. With Envoy's default of 1 s until the next try it ends the requests
        // of that second as well.
        failure_policy: FailurePolicy::FailReload.into(),
        reload_config: Some(ReloadConfig {
            backoff: Some(BackoffStrategy {
                base_interval: millis(10),
                ..Default::default()
            }),
        }),
        vm: Some(Vm::VmConfig(vm)),
        ..Default::default()
    };
    http_filter(
        name,
        Wasm {
            config: Some(config),
        },
    )
}
