//! The filter and its five plugin roots, as Wasm plugins or as dynamic modules.

use super::egress::Egress;
use crate::name::{self, ROUTER};
use crate::wire::{file, http_filter, millis, network_filter, yes};
use envoy_types::pb::envoy::config::core::v3::{
    AsyncDataSource, BackoffStrategy, TypedExtensionConfig, async_data_source,
};
use envoy_types::pb::envoy::config::listener::v3::Filter;
use envoy_types::pb::envoy::extensions::dynamic_modules::v3::DynamicModuleConfig;
use envoy_types::pb::envoy::extensions::filters::http::dynamic_modules::v3::DynamicModuleFilter;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::wasm::v3 as network;
use envoy_types::pb::envoy::extensions::wasm::v3::plugin_config::Vm;
use envoy_types::pb::envoy::extensions::wasm::v3::{
    CapabilityRestrictionConfig, FailurePolicy, PluginConfig, ReloadConfig, SanitizationConfig,
    VmConfig,
};
use envoy_types::pb::google::protobuf::{Any, StringValue};
use envoy_types::util::pack_any;
use meridian_planner::plan::Plan;
use meridian_planner::plugins::{filter_policy, guard_policy, retrieval_policy};
use meridian_planner::topology::Topology;
use meridian_policy::filter_policy::Lease;
use meridian_policy::fleet::FilterKind;
use meridian_policy::pool_policy::PoolPolicy;
use meridian_policy::{Fleet, RegionName};
use prost::{Message, Name};
use serde::Serialize;

/// Functions that the filter may import from the host or export to it. It can read and change requests, respond and
/// log. It cannot open connections, send requests or read files.
const CAPABILITIES: [&str; 40] = [
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
    "proxy_continue_stream",
    // The monotonic clock: the wall clock may be set.
    "clock_time_get",
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
    "proxy_on_downstream_data",
    "proxy_on_upstream_data",
    "proxy_on_done",
    "proxy_on_log",
    "proxy_on_delete",
    // Rust's standard library, at start.
    "environ_get",
    "environ_sizes_get",
    "random_get",
];

/// The plugin roots with VMs of their own.
const EGRESS: &str = "egress";
const RETRIEVAL: &str = "retrieval";

/// The filter that decides where requests go.
pub fn router(
    fleet: &Topology,
    plan: &Plan,
    home: &RegionName,
    lease: Option<Lease>,
) -> HttpFilter {
    let policy = json(&filter_policy(fleet, plan, home, lease));
    plugin(fleet, home, (ROUTER, "router"), policy)
}

/// The filter that inspects the response of every attempt of a chain. It runs in the router's VM, and both share what
/// they observe.
pub fn guard(fleet: &Topology, home: &RegionName) -> HttpFilter {
    let policy = json(&guard_policy(fleet, home));
    plugin(fleet, home, ("meridian.guard", "guard"), policy)
}

/// The filter that picks servers for requests of other gateways. It runs in the router's VM, and both count requests
/// together.
pub fn pool(fleet: &Fleet, home: &RegionName) -> HttpFilter {
    let pools = fleet.balances(home);
    let policy = json(&PoolPolicy { pools });
    plugin(fleet, home, ("meridian.pool", "pool"), policy)
}

/// The filter in front of a provider: it removes headers that are not on its allow-list and translates the API. It has
/// its own VM, so that a crash does not affect routing.
pub fn egress(fleet: &Fleet, home: &RegionName, egress: &Egress<'_>) -> HttpFilter {
    let policy = json(&egress.policy);
    let name = format!("meridian.egress/{}", egress.id);
    plugin(fleet, home, (&name, EGRESS), policy)
}

/// The filter that closes connections for retrieval which the fleet does not allow, also those that were open before. It
/// has its own VM, so that a crash elsewhere does not close them.
pub fn retrieval(fleet: &Fleet, home: &RegionName) -> Filter {
    let policy = json(&retrieval_policy(fleet, home));
    let config = config(fleet, RETRIEVAL, vm_of(RETRIEVAL), Some(policy));
    network_filter(
        "meridian.retrieval",
        network::Wasm {
            config: Some(config),
        },
    )
}

/// Policies are plain data, so serialization cannot fail. An empty text would make the filter refuse all requests.
fn json(policy: &impl Serialize) -> Any {
    pack_any(StringValue {
        value: serde_json::to_string(policy).unwrap_or_default(),
    })
}

/// A plugin at a gateway of the fleet. The name of its resource is another one for each kind: both exist while a gateway is moved from one
/// to the other.
fn plugin(fleet: &Fleet, home: &RegionName, (name, root): (&str, &str), policy: Any) -> HttpFilter {
    match fleet.filter_kind(home) {
        FilterKind::Wasm => {
            let config = Some(config(fleet, root, vm_of(root), Some(policy)));
            http_filter(name, Wasm { config })
        }
        FilterKind::Native => http_filter(&name::native(name), native(fleet, root, Some(policy))),
    }
}

/// The filter as a dynamic module. It shares its statistics' names with the Wasm plugin.
fn native(fleet: &Fleet, root: &str, policy: Option<Any>) -> DynamicModuleFilter {
    let module = DynamicModuleConfig {
        module: Some(AsyncDataSource {
            specifier: file(&fleet.filters.native).map(async_data_source::Specifier::Local),
        }),
        // It has threads and what workers share.
        do_not_close: true,
        metrics_namespace: "wasmcustom".into(),
        ..Default::default()
    };
    DynamicModuleFilter {
        dynamic_module_config: Some(module),
        filter_name: root.into(),
        filter_config: policy,
        ..Default::default()
    }
}

fn config(fleet: &Fleet, root: &str, vm_id: &str, policy: Option<Any>) -> PluginConfig {
    let vm = VmConfig {
        vm_id: vm_id.into(),
        runtime: "envoy.wasm.runtime.v8".into(),
        code: Some(AsyncDataSource {
            specifier: file(&fleet.filters.wasm).map(async_data_source::Specifier::Local),
        }),
        capability_restriction_config: Some(CapabilityRestrictionConfig {
            allowed_capabilities: CAPABILITIES
                .map(|name| (name.to_owned(), SanitizationConfig::default()))
                .into_iter()
                .collect(),
        }),
        ..Default::default()
    };
    PluginConfig {
        name: root.into(),
        root_id: root.into(),
        configuration: policy,
        // Without this, a request whose headers wait for the body hangs.
        allow_on_headers_stop_iteration: yes(),
        // A crash ends the streams of one worker. With Envoy's default delay of 1 s it would also fail the requests of
        // that second.
        failure_policy: FailurePolicy::FailReload.into(),
        reload_config: Some(ReloadConfig {
            backoff: Some(BackoffStrategy {
                base_interval: millis(10),
                ..Default::default()
            }),
        }),
        vm: Some(Vm::VmConfig(vm)),
        ..Default::default()
    }
}

/// The same plugins as resources of the other kind of the filter. A gateway that is moved from one kind to the other asks for both, the one
/// before until its last connection has ended.
pub fn of_the_other_kind(
    fleet: &Fleet,
    extensions: &[TypedExtensionConfig],
) -> Vec<TypedExtensionConfig> {
    let others = extensions.iter().filter_map(|extension| {
        let any = extension.typed_config.as_ref()?;
        if let Some(wasm) = opened::<Wasm>(any) {
            let plugin = wasm.config?;
            let module = native(fleet, &plugin.root_id, plugin.configuration);
            return Some((name::native(&extension.name), pack_any(module)));
        }
        let module: DynamicModuleFilter = opened(any)?;
        let (root, policy) = (module.filter_name, module.filter_config);
        let config = Some(config(fleet, &root, vm_of(&root), policy));
        Some((name::wasm(&extension.name), pack_any(Wasm { config })))
    });
    let others = others.map(|(name, any)| TypedExtensionConfig {
        name,
        typed_config: Some(any),
    });
    others.collect()
}

fn opened<M: Message + Name + Default>(any: &Any) -> Option<M> {
    let is_it = any.type_url == M::type_url();
    is_it
        .then(|| M::decode(any.value.as_slice()).ok())
        .flatten()
}

/// The VM of a plugin root. Those that share one share what they observe.
fn vm_of(root: &str) -> &'static str {
    match root {
        EGRESS => "meridian-egress",
        RETRIEVAL => "meridian-retrieval",
        _ => "meridian",
    }
}
