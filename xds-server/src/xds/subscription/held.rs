//! What a client has of each name, and what a push changes.

use crate::xds::encoded::EncodedResource;
use crate::xds::interest::Interest;
use crate::xds::resources::Typed;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a client has of one name.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// Sent on this stream, or kept by the client in a version that is known here.
    Resource(Arc<EncodedResource>),
    /// Kept by the client from an earlier stream.
    Version(Arc<str>),
    /// Reported to the client as missing.
    Missing,
    /// The client rejected a push that contained it. It may have the new resource, the old one, or none.
    Uncertain(Option<Arc<EncodedResource>>),
}

impl Held {
    /// The state after a push that changes it was rejected.
    fn uncertain(before: Option<Self>) -> Self {
        match before {
            Some(Self::Resource(resource)) => Self::Uncertain(Some(resource)),
            Some(Self::Uncertain(before)) => Self::Uncertain(before),
            Some(Self::Version(_) | Self::Missing) | None => Self::Uncertain(None),
        }
    }

    /// The same, borrowed.
    pub fn known(&self) -> Known<'_> {
        match self {
            Self::Resource(resource) => Known::Resource(resource),
            Self::Version(version) => Known::Version(version),
            Self::Missing => Known::Missing,
            Self::Uncertain(before) => Known::Uncertain(before.as_ref()),
        }
    }
}

/// [`Held`], borrowed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known<'a> {
    Resource(&'a Arc<EncodedResource>),
    Version(&'a Arc<str>),
    Missing,
    Uncertain(Option<&'a Arc<EncodedResource>>),
}

impl<'a> Known<'a> {
    pub fn version(self) -> Option<&'a Arc<str>> {
        match self {
            Self::Resource(resource) => Some(&resource.version),
            Self::Version(version) => Some(version),
            Self::Missing | Self::Uncertain(_) => None,
        }
    }

    /// Whether it is this resource.
    pub fn is(self, resource: &Arc<EncodedResource>) -> bool {
        match self {
            Self::Resource(held) => held.is_same(resource),
            known => known.version() == Some(&resource.version),
        }
    }

    /// The resource, if its content is known.
    pub fn resource(self) -> Option<&'a Arc<EncodedResource>> {
        match self {
            Self::Resource(resource) | Self::Uncertain(Some(resource)) => Some(resource),
            Self::Version(_) | Self::Missing | Self::Uncertain(None) => None,
        }
    }

    /// The version of a resource that stays.
    pub fn sent_version(self) -> Option<&'a Arc<str>> {
        match self {
            Self::Uncertain(before) => before.map(|resource| &resource.version),
            known => known.version(),
        }
    }

    pub fn exists(self) -> bool {
        matches!(
            self,
            Self::Resource(_) | Self::Version(_) | Self::Uncertain(Some(_))
        )
    }

    fn may_exist(self) -> bool {
        !matches!(self, Self::Missing)
    }
}

/// What a client has. A client that has accepted a whole state holds a reference to it instead of a copy of its names.
///
/// Methods that look up a name are for names that the client is interested in.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    /// The client has the resources of this state whose names interest it, except for `changes`.
    base: Option<Arc<Typed>>,
    changes: BTreeMap<Arc<str>, Held>,
}

impl Holdings {
    /// Exactly these.
    pub fn new(held: impl Iterator<Item = (Arc<str>, Held)>) -> Self {
        Self {
            base: None,
            changes: held.collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        let base = self.base.as_ref();
        self.changes.is_empty() && base.is_none_or(|base| base.by_name().is_empty())
    }

    pub fn get(&self, name: &str) -> Option<Known<'_>> {
        match self.changes.get(name) {
            Some(held) => Some(held.known()),
            None => {
                let resource = self.base.as_ref()?.by_name().get(name)?;
                Some(Known::Resource(resource))
            }
        }
    }

    /// Whether the client has this resource of a state.
    pub fn knows(&self, resource: &Arc<EncodedResource>, of: &Arc<Typed>) -> bool {
        if self.is_at(of) {
            let changed = self.changes.get(&**resource.name());
            return changed.is_none_or(|held| held.known().is(resource));
        }
        let known = self.get(resource.name());
        known.is_some_and(|known| known.is(resource))
    }

    /// The names of all that may differ from a state.
    pub fn names_beside<'a>(&'a self, state: &'a Arc<Typed>) -> impl Iterator<Item = &'a Arc<str>> {
        let base = self.base.iter().filter(|base| !Arc::ptr_eq(base, state));
        let differing = base.flat_map(|base| base.difference(state));
        differing.map(|(name, _)| name).chain(self.changes.keys())
    }

    fn is_at(&self, state: &Arc<Typed>) -> bool {
        let base = self.base.as_ref();
        base.is_some_and(|base| Arc::ptr_eq(base, state))
    }

    /// How many names are listed.
    #[cfg(test)]
    pub fn listed(&self) -> usize {
        self.changes.len()
    }

    /// Lists all names, before the interest changes.
    pub fn list(&mut self, interest: &Interest) {
        let Some(base) = self.base.take() else {
            return;
        };
        for (name, resource) in base.by_name() {
            if interest.covers(name) && !self.changes.contains_key(name) {
                let held = Held::Resource(Arc::clone(resource));
                self.changes.insert(Arc::clone(name), held);
            }
        }
    }

    /// Applies an accepted push.
    pub fn accept(&mut self, push: InFlight, interest: &Interest) {
        if push.whole {
            self.base = None;
            self.changes = push.changes;
        } else {
            self.changes.extend(push.changes);
        }
        self.refer_to(&push.target, interest);
        self.forget_unwanted(interest);
    }

    /// Refers to a state instead of listing it, if the client has all resources of it that interest it.
    pub fn refer_to(&mut self, state: &Arc<Typed>, interest: &Interest) {
        if self.is_at(state) || !self.has_all(state, interest) {
            return;
        }
        let before = self.base.replace(Arc::clone(state));
        // What is gone from the state, but not from the client.
        let gone = before.iter().flat_map(|before| before.difference(state));
        let gone = gone.filter_map(|(name, change)| match change {
            (Some(before), None) if interest.covers(name) => Some((name, before)),
            _ => None,
        });
        for (name, resource) in gone {
            let held = self.changes.entry(Arc::clone(name));
            held.or_insert_with(|| Held::Resource(Arc::clone(resource)));
        }
        self.changes.retain(|name, held| {
            let resource = state.by_name().get(name);
            !resource.is_some_and(|resource| held.known().is(resource))
        });
    }

    fn has_all(&self, state: &Arc<Typed>, interest: &Interest) -> bool {
        let has = |name: &Arc<str>, resource| {
            let held = self.changes.get(name).map(Held::known);
            held.is_some_and(|held| held.is(resource))
        };
        match &self.base {
            Some(base) => {
                base.difference(state)
                    .all(|(name, (_, after))| match after {
                        Some(after) => !interest.covers(name) || has(name, after),
                        None => true,
                    })
                    && self.changes.iter().all(|(name, held)| {
                        let after = state.by_name().get(name);
                        !interest.covers(name) || after.is_none_or(|after| held.known().is(after))
                    })
            }
            None => {
                let mut all = state.by_name().iter();
                all.all(|(name, resource)| !interest.covers(name) || has(name, resource))
            }
        }
    }

    /// After a NACK the client may have applied a part of the push, as Envoy does with clusters and listeners.
    pub fn mark_uncertain(&mut self, push: &InFlight, interest: &Interest) {
        self.list(interest);
        let left_out: Vec<Arc<str>> = self.left_out(push).cloned().collect();
        for name in left_out.iter().chain(push.changes.keys()) {
            let before = self.changes.remove(name);
            self.changes
                .insert(Arc::clone(name), Held::uncertain(before));
        }
    }

    /// The rejected versions by name; `None` for a removal.
    pub fn refused(
        &mut self,
        push: &InFlight,
        interest: &Interest,
    ) -> BTreeMap<Arc<str>, Option<Arc<str>>> {
        self.list(interest);
        let left_out = self.left_out(push).map(|name| (Arc::clone(name), None));
        let changes = push.changes.iter();
        let changes =
            changes.map(|(name, held)| (Arc::clone(name), held.known().version().cloned()));
        left_out.chain(changes).collect()
    }

    /// The listed names that a push removes by leaving them out.
    fn left_out<'a>(&'a self, push: &'a InFlight) -> impl Iterator<Item = &'a Arc<str>> {
        let listed = self.changes.keys().filter(|_| push.whole);
        listed.filter(|name| !push.changes.contains_key(*name))
    }

    /// Forgets what does not interest the client. A base has nothing of that: it is listed before the interest changes.
    pub fn forget_unwanted(&mut self, interest: &Interest) {
        let base = self.base.as_ref();
        self.changes.retain(|name, held| {
            let hides = base.is_some_and(|base| base.by_name().contains_key(name));
            let wanted = interest.covers(name)
                && (held.known().may_exist() || interest.names().contains(name));
            hides || wanted
        });
    }
}

/// A push that the client has not acknowledged yet.
#[derive(Debug)]
pub(super) struct InFlight {
    pub nonce: String,
    pub version: Arc<str>,
    /// The state that it was made from.
    pub target: Arc<Typed>,
    pub changes: BTreeMap<Arc<str>, Held>,
    /// Whether it replaces everything that the client has.
    pub whole: bool,
}
