//! Meridian's own filter: that it is the fleet's, cannot be passed by, can reach nobody, and has the right policy.

use super::Walk;
use super::known::only;
use super::secret::file;
use envoy_types::pb::envoy::config::core::v3::{AsyncDataSource, async_data_source};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::plugin_config::Vm;
use envoy_types::pb::envoy::extensions::wasm::v3::{FailurePolicy, PluginConfig, VmConfig};
use envoy_types::pb::google::protobuf::StringValue;
use meridian_policy::FilterPolicy;

/// The plugin root that strips the caller's `x-meridian-*` headers and sets its own.
const ROUTER: &str = "router";

/// The plugin root that lets an allow-list of headers through to a provider.
const EGRESS: &str = "egress";

/// Imports with which a filter reads and changes its own request. Not among them: calls over HTTP and gRPC, files.
const HARMLESS_IMPORTS: [&str; 14] = [
    "proxy_log",
    "proxy_get_buffer_bytes",
    "proxy_set_buffer_bytes",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_get_property",
    "proxy_send_local_response",
    "proxy_call_foreign_function",
    "proxy_get_current_time_nanoseconds",
    "environ_get",
    "environ_sizes_get",
    "random_get",
];

/// What the host calls in the filter.
const EXPORTS: &str = "proxy_on_";

impl Walk<'_> {
    /// Checks the filter that decides every request's zone.
    pub fn router_plugin(&mut self, at: &str, wasm: &Wasm) {
        let Some(plugin) = self.plugin(at, wasm, ROUTER) else {
            return;
        };
        let configuration = self
            .leaks
            .open_some::<StringValue>(at, plugin.configuration.as_ref());
        let Some(configuration) = configuration else {
            return;
        };
        match serde_json::from_str::<FilterPolicy>(&configuration.value) {
            Ok(policy) => self.agreement(at, &policy),
            Err(error) => self
                .leaks
                .add(at, format!("the filter cannot read its policy: {error}")),
        }
    }

    /// Checks the filter on the way out to a provider. It has no configuration.
    pub fn egress_plugin(&mut self, at: &str, wasm: &Wasm) {
        if let Some(plugin) = self.plugin(at, wasm, EGRESS)
            && plugin.configuration.is_some()
        {
            self.leaks.unknown(at, "a configuration of the way out");
        }
    }

    /// Checks what holds for every root: it is the fleet's code, cannot be passed by, and can reach nobody.
    fn plugin<'w>(&mut self, at: &str, wasm: &'w Wasm, root: &str) -> Option<&'w PluginConfig> {
        let Some(plugin) = &wasm.config else {
            self.leaks.unknown(at, "a Wasm filter without a plugin");
            return None;
        };
        // Without `fail_open`, the old way to let requests pass by a broken filter.
        let known = only!(
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
        self.leaks.known(at, plugin, &known);
        if !matches!(
            plugin.failure_policy(),
            FailurePolicy::FailReload | FailurePolicy::FailClosed
        ) {
            self.leaks.add(
                at,
                "requests must fail with the filter: FAIL_RELOAD or FAIL_CLOSED",
            );
        }
        if plugin.root_id != root {
            self.leaks.unknown(
                at,
                format!("the plugin root `{}` in place of `{root}`", plugin.root_id),
            );
        }
        match &plugin.vm {
            Some(Vm::VmConfig(vm)) => self.vm(at, vm),
            None => self.leaks.unknown(at, "a Wasm filter without a VM"),
        }
        Some(plugin)
    }

    fn vm(&mut self, at: &str, vm: &VmConfig) {
        let known = only!(
            VmConfig,
            vm,
            [vm_id, runtime, code, capability_restriction_config]
        );
        self.leaks.known(at, vm, &known);
        if vm.runtime != "envoy.wasm.runtime.v8" {
            self.leaks
                .unknown(at, format!("the runtime `{}`", vm.runtime));
        }
        let path = &self.fleet.filter;
        let code = AsyncDataSource {
            specifier: Some(async_data_source::Specifier::Local(file(path))),
        };
        if vm.code.as_ref() != Some(&code) {
            self.leaks
                .add(at, format!("the filter's code must be the file `{path}`"));
        }
        let capabilities = vm
            .capability_restriction_config
            .as_ref()
            .map(|restriction| &restriction.allowed_capabilities)
            .filter(|allowed| !allowed.is_empty());
        let Some(capabilities) = capabilities else {
            self.leaks.add(
                at,
                "nothing keeps the filter from sending requests of its own",
            );
            return;
        };
        for capability in capabilities.keys() {
            if !HARMLESS_IMPORTS.contains(&capability.as_str()) && !capability.starts_with(EXPORTS)
            {
                self.leaks
                    .unknown(at, format!("a filter that may use `{capability}`"));
            }
        }
    }
}
