//! Which resources of one type a client wants: names, and the wildcard with its history.
//!
//! The rules are in "How the client specifies what resources to return" of the xDS protocol's description.

use super::resources::ResourceType;
use std::collections::BTreeSet;

/// The name that stands for all resources of a type.
pub(super) const WILDCARD: &str = "*";

#[derive(Debug)]
pub(super) struct Interest {
    kind: ResourceType,
    wildcard: bool,
    names: BTreeSet<String>,
    /// Whether the client has ever given a name: from then on, no names are no names.
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

    /// The names asked for one by one.
    pub fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// Whether a resource of this name is wanted.
    pub fn covers(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// SotW: these are all the names.
    pub fn replace(&mut self, names: &[String]) {
        self.named |= !names.is_empty();
        self.names = names
            .iter()
            .filter(|name| *name != WILDCARD)
            .cloned()
            .collect();
        self.wildcard = names.iter().any(|name| name == WILDCARD) || self.legacy_wildcard();
    }

    /// Delta: the first request of a stream, which may ask for everything by asking for nothing.
    pub fn open(&mut self, names: &[String]) {
        self.subscribe(names);
        self.wildcard |= self.legacy_wildcard();
    }

    /// Delta: these names as well.
    pub fn subscribe(&mut self, names: &[String]) {
        self.named |= !names.is_empty();
        for name in names {
            if name == WILDCARD {
                self.wildcard = true;
            } else {
                self.names.insert(name.clone());
            }
        }
    }

    /// Delta: not this name any more. Whether it was subscribed to.
    pub fn unsubscribe(&mut self, name: &str) -> bool {
        if name == WILDCARD {
            std::mem::take(&mut self.wildcard)
        } else {
            self.names.remove(name)
        }
    }

    /// Only LDS and CDS have it: an Envoy that asks for no endpoints wants none.
    fn legacy_wildcard(&self) -> bool {
        !self.named && self.kind.is_full_state()
    }
}
