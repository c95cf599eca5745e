//! The resources of one type that a client wants: names, and the wildcard with its history.
//!
//! The rules are in "How the client specifies what resources to return" of the xDS protocol description.

use super::resource_type::ResourceType;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The wildcard: all resources of a type.
pub(super) const WILDCARD: &str = "*";

#[derive(Debug)]
pub(super) struct Interest {
    kind: ResourceType,
    wildcard: bool,
    names: BTreeSet<Arc<str>>,
    /// Whether the client has ever sent a name. From then on an empty list means no names instead of the wildcard.
    named: bool,
}

impl Interest {
    pub fn new(kind: ResourceType) -> Self {
        Self {
            kind,
            wildcard: false,
            names: BTreeSet::new(),
            named: false,
        }
    }

    pub fn wildcard(&self) -> bool {
        self.wildcard
    }

    /// The names that the client subscribed to explicitly.
    pub fn names(&self) -> &BTreeSet<Arc<str>> {
        &self.names
    }

    /// Whether the client wants a resource of this name.
    pub fn covers(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// SotW: whether replacing all names with these would change nothing.
    pub fn equals(&self, names: &[String]) -> bool {
        let wildcard = names.iter().any(|name| name == WILDCARD);
        let implied = names.is_empty() && self.legacy_wildcard();
        let mut explicit: Vec<&str> = names.iter().map(String::as_str).collect();
        explicit.retain(|name| *name != WILDCARD);
        explicit.sort_unstable();
        explicit.dedup();
        self.wildcard == (wildcard || implied)
            && (self.named || names.is_empty())
            && explicit
                .into_iter()
                .eq(self.names.iter().map(|name| &**name))
    }

    /// SotW: replaces all names.
    pub fn replace(&mut self, names: &[Arc<str>]) {
        self.named |= !names.is_empty();
        self.names = names
            .iter()
            .filter(|name| &***name != WILDCARD)
            .cloned()
            .collect();
        self.wildcard = names.iter().any(|name| &**name == WILDCARD) || self.legacy_wildcard();
    }

    /// Delta: the first request of a stream. An empty list means the wildcard.
    pub fn open(&mut self, names: &[Arc<str>]) {
        self.subscribe(names);
        self.wildcard |= self.legacy_wildcard();
    }

    /// Delta: adds names.
    pub fn subscribe(&mut self, names: &[Arc<str>]) {
        self.named |= !names.is_empty();
        for name in names {
            if &**name == WILDCARD {
                self.wildcard = true;
            } else {
                self.names.insert(Arc::clone(name));
            }
        }
    }

    /// Delta: removes a name. Returns whether it was subscribed.
    pub fn unsubscribe(&mut self, name: &str) -> bool {
        if name == WILDCARD {
            std::mem::take(&mut self.wildcard)
        } else {
            self.names.remove(name)
        }
    }

    /// Only LDS and CDS have an implied wildcard.
    fn legacy_wildcard(&self) -> bool {
        !self.named && self.kind.is_full_state()
    }
}
