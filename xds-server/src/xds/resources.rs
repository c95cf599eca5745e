//! The resources of one gateway, by type and name.

use super::encoded::{EncodedResource, Resource};
use super::resource_type::{PerType, ResourceType};
use super::version::version;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

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

    /// The version of all resources of a type.
    pub fn version(&self, kind: ResourceType) -> &str {
        self.0[kind].version(kind)
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
