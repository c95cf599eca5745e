//! The policy in the resource that a gateway has.

use crate::xds::EncodedResource;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::extensions::filters::http::dynamic_modules::v3::DynamicModuleFilter;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::google::protobuf::{Any, StringValue};
use meridian_policy::FilterPolicy;
use prost::{Message, Name};

/// The router's policy in a resource of the filter, of either kind. `None` if there is none that can be read.
pub fn router_policy(resource: &EncodedResource) -> Option<FilterPolicy> {
    let extension = TypedExtensionConfig::decode(resource.body().value.as_slice()).ok()?;
    let filter = extension.typed_config?;
    let policy = match opened::<Wasm>(&filter) {
        Some(wasm) => wasm.config?.configuration?,
        None => opened::<DynamicModuleFilter>(&filter)?.filter_config?,
    };
    let text: StringValue = opened(&policy)?;
    serde_json::from_str(&text.value).ok()
}

fn opened<M: Message + Name + Default>(any: &Any) -> Option<M> {
    let is_it = any.type_url == M::type_url();
    is_it
        .then(|| M::decode(any.value.as_slice()).ok())
        .flatten()
}
