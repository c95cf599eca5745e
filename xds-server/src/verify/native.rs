//! Meridian's own filter as a dynamic module: its code and its policy. It runs in Envoy's own process: nothing restricts what it may call.

use super::leak::{Leaks, only};
use super::secret::file;
use super::wasm::read_policy;
use envoy_types::pb::envoy::config::core::v3::{AsyncDataSource, async_data_source};
use envoy_types::pb::envoy::extensions::dynamic_modules::v3::DynamicModuleConfig;
use envoy_types::pb::envoy::extensions::filters::http::dynamic_modules::v3::DynamicModuleFilter;
use meridian_policy::Fleet;
use serde::de::DeserializeOwned;

/// Checks a dynamic module, and returns its policy if the filter can parse it.
pub fn policy<P: DeserializeOwned>(
    fleet: &Fleet,
    at: &str,
    filter: &DynamicModuleFilter,
    root: &str,
    leaks: &mut Leaks,
) -> Option<P> {
    // `terminal_filter` is not in this list: no other filter would see the request.
    let supported = only!(
        DynamicModuleFilter,
        filter,
        [dynamic_module_config, filter_name, filter_config]
    );
    leaks.check_fields(at, filter, &supported);
    if filter.filter_name != root {
        let found = &filter.filter_name;
        leaks.unsupported(at, format!("the filter `{found}` in place of `{root}`"));
    }
    module(fleet, at, filter.dynamic_module_config.as_ref(), leaks);
    read_policy(at, filter.filter_config.as_ref(), leaks)
}

fn module(fleet: &Fleet, at: &str, module: Option<&DynamicModuleConfig>, leaks: &mut Leaks) {
    let module = module.cloned().unwrap_or_default();
    // A module by name is looked for in several places. One by URL lets requests pass while Envoy does not have it.
    let supported = only!(
        DynamicModuleConfig,
        module,
        [do_not_close, metrics_namespace, module]
    );
    leaks.check_fields(at, &module, &supported);
    let path = &fleet.filters.native;
    let code = AsyncDataSource {
        specifier: Some(async_data_source::Specifier::Local(file(path))),
    };
    if module.module.as_ref() != Some(&code) {
        leaks.add(at, format!("the filter's code must be the file `{path}`"));
    }
}
