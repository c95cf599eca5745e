//! Versions: hashes of what a resource says, the same on every machine and after every restart.
//!
//! Never of its encoding: protobuf maps are encoded in any order.

use super::Parts;
use crate::xds::{Resource, ResourceType, Resources};
use envoy_types::util::pack_any;
use meridian_proto::JsonError;
use prost::{Message, Name};
use xxhash_rust::xxh3::xxh3_128;

/// Gives every part its version. What says the same as in `before` is shared with it.
pub fn resources(parts: Parts, before: &Resources) -> Result<Resources, JsonError> {
    let mut made = Made {
        before,
        resources: Resources::default(),
    };
    for cluster in parts.clusters {
        made.add(ResourceType::Cluster, cluster.name.clone(), cluster)?;
    }
    for endpoints in parts.endpoints {
        made.add(
            ResourceType::Endpoint,
            endpoints.cluster_name.clone(),
            endpoints,
        )?;
    }
    for listener in parts.listeners {
        made.add(ResourceType::Listener, listener.name.clone(), listener)?;
    }
    for routes in parts.routes {
        made.add(ResourceType::Route, routes.name.clone(), routes)?;
    }
    for extension in parts.extensions {
        made.add(ResourceType::Extension, extension.name.clone(), extension)?;
    }
    for secret in parts.secrets {
        made.add(ResourceType::Secret, secret.name.clone(), secret)?;
    }
    made.resources.share_unchanged_types(before);
    Ok(made.resources)
}

struct Made<'b> {
    before: &'b Resources,
    resources: Resources,
}

impl Made<'_> {
    fn add<M: Message + Name>(
        &mut self,
        kind: ResourceType,
        name: String,
        message: M,
    ) -> Result<(), JsonError> {
        let before = self.before.get(kind, &name);
        let said = meridian_proto::to_json(&message)?.to_string();
        let body = pack_any(message);
        let version = format!("{:032x}", xxh3_128(said.as_bytes()));
        match before.filter(|before| *before.version == *version) {
            Some(same) => self.resources.share(kind, same.clone()),
            None => self
                .resources
                .insert(kind, name, Resource { version, body }),
        }
        Ok(())
    }
}
