//! Meridian's own filter: that it is the fleet's, cannot be passed by, can reach nobody, and has the right policy.

use super::Walk;
use super::known::{Leaks, only};
use super::secret::file;
use envoy_types::pb::envoy::config::core::v3::{AsyncDataSource, async_data_source};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::plugin_config::Vm;
use envoy_types::pb::envoy::extensions::wasm::v3::{FailurePolicy, PluginConfig, VmConfig};
use envoy_types::pb::google::protobuf::StringValue;
use meridian_policy::egress::EgressPolicy;
use meridian_policy::guard::GuardPolicy;
use meridian_policy::slots::PoolPolicy;
use meridian_policy::{FallbackName, Fleet};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

/// The plugin root that strips the caller's `x-meridian-*` headers and sets its own.
const ROUTER: &str = "router";

/// The plugin root that sees the answers to attempts.
const GUARD: &str = "guard";

/// The plugin root that picks the servers for other gateways' requests.
const POOL: &str = "pool";

/// The plugin root that lets an allow-list of headers through to a provider.
const EGRESS: &str = "egress";

/// Imports with which a filter reads, changes and ends requests that come by it. Not among them: calls over HTTP and gRPC, files. What a
/// filter sets as a property is filter state under a name of its own (`wasm.`), which nothing but the access log reads.
const HARMLESS_IMPORTS: [&str; 23] = [
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
    "environ_get",
    "environ_sizes_get",
    "random_get",
];

/// What the host calls in the filter.
const EXPORTS: &str = "proxy_on_";

impl Walk<'_> {
    /// Checks the filter that decides every request's zone.
    pub fn router_plugin(&mut self, at: &str, wasm: &Wasm) {
        let policy = plugin(self.fleet, at, wasm, ROUTER, &mut self.leaks)
            .and_then(|plugin| policy(at, plugin, &mut self.leaks));
        if let Some(policy) = policy {
            self.agreement(at, &policy);
        }
    }

    /// Checks the filter on the way out to these providers: that it does there what the fleet says of them.
    pub fn egress_plugin(&mut self, at: &str, wasm: &Wasm, providers: &BTreeSet<&FallbackName>) {
        let policy: Option<EgressPolicy> = plugin(self.fleet, at, wasm, EGRESS, &mut self.leaks)
            .and_then(|plugin| policy(at, plugin, &mut self.leaks));
        let Some(policy) = policy else { return };
        for name in providers {
            let fallback = self.fleet.fallbacks.get(*name);
            if fallback
                .is_none_or(|fallback| EgressPolicy::of(self.fleet, name, fallback) != policy)
            {
                let message = format!("the filter's policy is not that of the fallback `{name}`");
                self.leaks.add(at, message);
            }
        }
    }
}

/// Checks the filter that sees the answers of a chain. Whatever its policy says, it chooses no destination: at most the next
/// member of the chain is asked.
pub fn guard_plugin(fleet: &Fleet, at: &str, wasm: &Wasm, leaks: &mut Leaks) {
    let plugin = plugin(fleet, at, wasm, GUARD, leaks);
    plugin.and_then(|plugin| policy::<GuardPolicy>(at, plugin, leaks));
}

/// Whether a Wasm filter is the one that picks servers.
pub fn is_pool(wasm: &Wasm) -> bool {
    wasm.config
        .as_ref()
        .is_some_and(|plugin| plugin.root_id == POOL)
}

/// Checks the filter that picks servers for other gateways' requests: the header that it sets picks an endpoint of whatever cluster a
/// route leads to.
pub fn pool_plugin(fleet: &Fleet, at: &str, wasm: &Wasm, leaks: &mut Leaks) {
    let plugin = plugin(fleet, at, wasm, POOL, leaks);
    plugin.and_then(|plugin| policy::<PoolPolicy>(at, plugin, leaks));
}

/// The policy of a plugin, if the filter can read it.
fn policy<P: DeserializeOwned>(at: &str, plugin: &PluginConfig, leaks: &mut Leaks) -> Option<P> {
    let configuration = leaks.open_some::<StringValue>(at, plugin.configuration.as_ref())?;
    match serde_json::from_str(&configuration.value) {
        Ok(policy) => Some(policy),
        Err(error) => {
            leaks.add(at, format!("the filter cannot read its policy: {error}"));
            None
        }
    }
}

/// Checks what holds for every root: it is the fleet's code, cannot be passed by, and can reach nobody.
fn plugin<'w>(
    fleet: &Fleet,
    at: &str,
    wasm: &'w Wasm,
    root: &str,
    leaks: &mut Leaks,
) -> Option<&'w PluginConfig> {
    let Some(plugin) = &wasm.config else {
        leaks.unknown(at, "a Wasm filter without a plugin");
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
    leaks.known(at, plugin, &known);
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
        leaks.unknown(
            at,
            format!("the plugin root `{}` in place of `{root}`", plugin.root_id),
        );
    }
    match &plugin.vm {
        Some(Vm::VmConfig(config)) => vm(fleet, at, config, leaks),
        None => leaks.unknown(at, "a Wasm filter without a VM"),
    }
    Some(plugin)
}

fn vm(fleet: &Fleet, at: &str, vm: &VmConfig, leaks: &mut Leaks) {
    let known = only!(
        VmConfig,
        vm,
        [vm_id, runtime, code, capability_restriction_config]
    );
    leaks.known(at, vm, &known);
    if vm.runtime != "envoy.wasm.runtime.v8" {
        leaks.unknown(at, format!("the runtime `{}`", vm.runtime));
    }
    let path = &fleet.filter;
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
            leaks.unknown(at, format!("a filter that may use `{capability}`"));
        }
    }
}
