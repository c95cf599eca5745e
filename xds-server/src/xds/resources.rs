//! The resources of one gateway, by type and name.

use super::encoded::EncodedResource;
use super::version::version;
use envoy_types::pb::google::protobuf::Any;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};
use std::sync::{Arc, OnceLock};

/// A type of resource, in the order in which changes must reach a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// `envoy.config.cluster.v3.Cluster` (CDS).
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment` (EDS).
    Endpoint,
    /// `envoy.config.core.v3.TypedExtensionConfig` (ECDS). Sent before the listeners that refer to it: Envoy rejects a
    /// listener while it has rejected the last configuration of one of its filters.
    Extension,
    /// `envoy.config.listener.v3.Listener` (LDS).
    Listener,
    /// `envoy.config.route.v3.RouteConfiguration` (RDS).
    Route,
    /// `envoy.extensions.transport_sockets.tls.v3.Secret` (SDS).
    Secret,
}

impl ResourceType {
    /// Every type, in push order.
    pub const ALL: [Self; 6] = [
        Self::Cluster,
        Self::Endpoint,
        Self::Extension,
        Self::Listener,
        Self::Route,
        Self::Secret,
    ];

    /// The type URL in requests and resources.
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            Self::Extension => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        }
    }

    /// The type of a type URL; `None` if it is not served.
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }

    /// A short name for logs and metrics, e.g. `cluster`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Endpoint => "endpoint",
            Self::Listener => "listener",
            Self::Route => "route",
            Self::Extension => "extension",
            Self::Secret => "secret",
        }
    }

    /// Whether a SotW response of this type is the full state, so that Envoy deletes what it lacks.
    pub(super) fn is_full_state(self) -> bool {
        matches!(self, Self::Cluster | Self::Listener)
    }
}

/// A resource before it is encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// Equal content has an equal version, also after a restart, and different content a different one, because the
    /// protocol compares versions only. The creator of the resource guarantees it, e.g. by a hash of its inputs.
    pub version: String,
    /// The packed resource. Its type URL must be that of its [`ResourceType`].
    pub body: Any,
}

/// One value per type of resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerType<T>([T; 6]);

impl<T> PerType<T> {
    /// Creates each value from its type.
    pub fn from_fn(mut make: impl FnMut(ResourceType) -> T) -> Self {
        Self(ResourceType::ALL.map(&mut make))
    }

    /// Types and values, in push order.
    pub fn iter(&self) -> impl Iterator<Item = (ResourceType, &T)> {
        ResourceType::ALL.into_iter().zip(&self.0)
    }
}

impl<T> Index<ResourceType> for PerType<T> {
    type Output = T;

    fn index(&self, kind: ResourceType) -> &T {
        &self.0[kind as usize]
    }
}

impl<T> IndexMut<ResourceType> for PerType<T> {
    fn index_mut(&mut self, kind: ResourceType) -> &mut T {
        &mut self.0[kind as usize]
    }
}

/// All resources of one type, by name.
pub type ByName = BTreeMap<Arc<str>, Arc<EncodedResource>>;

/// The resources of one type. Publications share them while none of them changes, so that streams compare pointers.
#[derive(Clone, Debug, Default)]
pub(super) struct Typed {
    by_name: ByName,
    version: OnceLock<Arc<str>>,
}

impl Typed {
    pub fn by_name(&self) -> &ByName {
        &self.by_name
    }

    /// The version of all of them, computed once.
    pub fn version(&self, kind: ResourceType) -> &Arc<str> {
        self.version.get_or_init(|| {
            let pairs = self.by_name.iter();
            let pairs = pairs.map(|(name, resource)| (&**name, &*resource.version));
            version(kind, pairs).into()
        })
    }

    /// The names whose resources differ, with the resources before and after, in the order of names.
    pub fn difference<'a>(
        &'a self,
        after: &'a Self,
    ) -> impl Iterator<Item = (&'a Arc<str>, Change<'a>)> {
        let (mut old, mut new) = (
            self.by_name.iter().peekable(),
            after.by_name.iter().peekable(),
        );
        std::iter::from_fn(move || {
            loop {
                let order = match (old.peek(), new.peek()) {
                    (None, None) => return None,
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (Some((old, _)), Some((new, _))) => old.cmp(new),
                };
                let before = if order.is_le() { old.next() } else { None };
                let after = if order.is_ge() { new.next() } else { None };
                let name = before.or(after)?.0;
                let change = (
                    before.map(|(_, resource)| resource),
                    after.map(|(_, resource)| resource),
                );
                match change {
                    (Some(before), Some(after)) if before.is_same(after) => {}
                    change => return Some((name, change)),
                }
            }
        })
    }
}

/// A resource before and after.
pub(super) type Change<'a> = (
    Option<&'a Arc<EncodedResource>>,
    Option<&'a Arc<EncodedResource>>,
);

/// The resources of one gateway. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Resources(PerType<Arc<Typed>>);

impl Resources {
    /// Encodes a resource and adds it, or replaces the one of the same type and name.
    pub fn insert(&mut self, kind: ResourceType, name: impl Into<Arc<str>>, resource: Resource) {
        self.add(kind, Arc::new(EncodedResource::new(name.into(), &resource)));
    }

    /// Adds a resource that is shared with another `Resources`, under the same name.
    pub fn share(&mut self, kind: ResourceType, resource: Arc<EncodedResource>) {
        self.add(kind, resource);
    }

    fn add(&mut self, kind: ResourceType, resource: Arc<EncodedResource>) {
        let typed = Arc::make_mut(&mut self.0[kind]);
        typed.version = OnceLock::new();
        typed.by_name.insert(Arc::clone(resource.name()), resource);
    }

    /// Shares with an earlier publication each type of which nothing has changed.
    pub fn share_unchanged_types(&mut self, before: &Self) {
        for kind in ResourceType::ALL {
            if self.0[kind].by_name == before.0[kind].by_name {
                self.0[kind] = Arc::clone(&before.0[kind]);
            }
        }
    }

    /// A resource by type and name.
    pub fn get(&self, kind: ResourceType, name: &str) -> Option<&Arc<EncodedResource>> {
        self.0[kind].by_name.get(name)
    }

    /// The resources of a type, by name.
    pub fn of(&self, kind: ResourceType) -> &ByName {
        &self.0[kind].by_name
    }

    pub(super) fn typed(&self, kind: ResourceType) -> &Arc<Typed> {
        &self.0[kind]
    }
}

impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        ResourceType::ALL.into_iter().all(|kind| {
            Arc::ptr_eq(&self.0[kind], &other.0[kind]) || self.of(kind) == other.of(kind)
        })
    }
}
