//! Versions: hashes of what a resource says, the same on every machine and after every restart.

use crate::snapshot::Parts;
use crate::xds::{EncodedResource, Resource, ResourceType, Resources};
use envoy_types::pb::google::protobuf::Any;
use meridian_proto::{JsonError, canonical};
use prost::{Message, Name};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// Resources with parts, which replace those of the same names. What says the same as in `before` is shared with it.
///
/// # Errors
///
/// If a part has no canonical encoding.
pub fn with(
    resources: Resources,
    parts: Parts,
    before: &Resources,
) -> Result<Resources, JsonError> {
    let mut made = Made { before, resources };
    for cluster in parts.clusters {
        made.add(ResourceType::Cluster, &cluster.name, &cluster)?;
    }
    for endpoints in parts.endpoints {
        made.add(ResourceType::Endpoint, &endpoints.cluster_name, &endpoints)?;
    }
    for listener in parts.listeners {
        made.add(ResourceType::Listener, &listener.name, &listener)?;
    }
    for routes in parts.routes {
        made.add(ResourceType::Route, &routes.name, &routes)?;
    }
    for extension in parts.extensions {
        made.add(ResourceType::Extension, &extension.name, &extension)?;
    }
    for secret in parts.secrets {
        made.add(ResourceType::Secret, &secret.name, &secret)?;
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
        name: &str,
        message: &M,
    ) -> Result<(), JsonError> {
        let value = canonical(message)?;
        let version = format!("{:032x}", xxh3_128(&value));
        let is_it = |resource: &&Arc<EncodedResource>| *resource.version == *version;
        if self
            .resources
            .get(kind, name)
            .is_some_and(|there| is_it(&there))
        {
            return Ok(());
        }
        match self.before.get(kind, name).filter(is_it) {
            Some(same) => self.resources.share(kind, same.clone()),
            None => {
                let type_url = M::type_url();
                let body = Any { type_url, value };
                let resource = Resource { version, body };
                self.resources.insert(kind, name, resource);
            }
        }
        Ok(())
    }
}
