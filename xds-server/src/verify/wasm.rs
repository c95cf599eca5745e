//! Meridian's own filter as a Wasm plugin: its code, its failure mode, the host calls that it may use, and its policy.

use super::leak::{Leaks, only};
use super::secret::file;
use envoy_types::pb::envoy::config::core::v3::{AsyncDataSource, async_data_source};
use envoy_types::pb::envoy::extensions::filters::network::wasm::v3 as network;
use envoy_types::pb::envoy::extensions::wasm::v3::plugin_config::Vm;
use envoy_types::pb::envoy::extensions::wasm::v3::{FailurePolicy, PluginConfig, VmConfig};
use envoy_types::pb::google::protobuf::{Any, StringValue};
use meridian_policy::Fleet;
use meridian_policy::retrieval_policy::RetrievalPolicy;
use serde::de::DeserializeOwned;

/// The plugin root that closes connections for retrieval.
const RETRIEVAL: &str = "retrieval";

/// Host calls that read, change and end the requests of this filter's own streams. HTTP calls, gRPC calls and files are
/// not among them. `proxy_set_property` writes filter state under `wasm.`, which only the access log reads.
const HARMLESS_IMPORTS: [&str; 25] = [
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
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "random_get",
];

/// Prefix of the functions that the host calls in the filter.
const EXPORTS: &str = "proxy_on_";

/// The policy of the filter that closes connections for retrieval.
pub fn retrieval_policy(
    fleet: &Fleet,
    at: &str,
    wasm: &network::Wasm,
    leaks: &mut Leaks,
) -> Option<RetrievalPolicy> {
    policy(fleet, at, wasm.config.as_ref(), RETRIEVAL, leaks)
}

/// Checks a Wasm filter, and returns its policy if the filter can parse it.
pub fn policy<P: DeserializeOwned>(
    fleet: &Fleet,
    at: &str,
    config: Option<&PluginConfig>,
    root: &str,
    leaks: &mut Leaks,
) -> Option<P> {
    let plugin = plugin(fleet, at, config, root, leaks)?;
    read_policy(at, plugin.configuration.as_ref(), leaks)
}

/// The policy of a filter, if the filter can parse it.
pub fn read_policy<P: DeserializeOwned>(
    at: &str,
    configuration: Option<&Any>,
    leaks: &mut Leaks,
) -> Option<P> {
    let configuration = leaks.unpack_required::<StringValue>(at, configuration)?;
    match serde_json::from_str(&configuration.value) {
        Ok(policy) => Some(policy),
        Err(error) => {
            leaks.add(at, format!("the filter cannot read its policy: {error}"));
            None
        }
    }
}

/// Checks what every plugin root must have: the fleet's code, no way to skip it, and no host call that opens a connection.
fn plugin<'w>(
    fleet: &Fleet,
    at: &str,
    config: Option<&'w PluginConfig>,
    root: &str,
    leaks: &mut Leaks,
) -> Option<&'w PluginConfig> {
    let Some(plugin) = config else {
        leaks.unsupported(at, "a Wasm filter without a plugin");
        return None;
    };
    // `fail_open` is not in this list: it lets requests pass a filter that failed.
    let supported = only!(
        PluginConfig,
        plugin,
        [
            name,
            root_id,
            configuration,
            failure_policy,
            reload_config,
            allow_on_headers_stop_iteration,
            vm,
        ]
    );
    leaks.check_fields(at, plugin, &supported);
    if !matches!(
        plugin.failure_policy(),
        FailurePolicy::FailReload | FailurePolicy::FailClosed
    ) {
        leaks.add(
            at,
            "requests must fail with the filter: FAIL_RELOAD or FAIL_CLOSED",
        );
    }
    if plugin.root_id != root {
        leaks.unsupported(
            at,
            format!("the plugin root `{}` in place of `{root}`", plugin.root_id),
        );
    }
    match &plugin.vm {
        Some(Vm::VmConfig(config)) => vm(fleet, at, config, leaks),
        None => leaks.unsupported(at, "a Wasm filter without a VM"),
    }
    Some(plugin)
}

fn vm(fleet: &Fleet, at: &str, vm: &VmConfig, leaks: &mut Leaks) {
    let supported = only!(
        VmConfig,
        vm,
        [vm_id, runtime, code, capability_restriction_config]
    );
    leaks.check_fields(at, vm, &supported);
    if vm.runtime != "envoy.wasm.runtime.v8" {
        leaks.unsupported(at, format!("the runtime `{}`", vm.runtime));
    }
    let path = &fleet.filters.wasm;
    let code = AsyncDataSource {
        specifier: Some(async_data_source::Specifier::Local(file(path))),
    };
    if vm.code.as_ref() != Some(&code) {
        leaks.add(at, format!("the filter's code must be the file `{path}`"));
    }
    let capabilities = vm
        .capability_restriction_config
        .as_ref()
        .map(|restriction| &restriction.allowed_capabilities)
        .filter(|allowed| !allowed.is_empty());
    let Some(capabilities) = capabilities else {
        leaks.add(
            at,
            "nothing keeps the filter from sending requests of its own",
        );
        return;
    };
    for capability in capabilities.keys() {
        if !HARMLESS_IMPORTS.contains(&capability.as_str()) && !capability.starts_with(EXPORTS) {
            leaks.unsupported(at, format!("a filter that may use `{capability}`"));
        }
    }
}
