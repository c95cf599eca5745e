//! What a client holds of a name, and what a push changes in it.

use crate::xds::resources::{Resource, Resources};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(super) enum Held {
    /// We sent it.
    Resource(Arc<Resource>),
    /// The client brought it along from another stream.
    Version(String),
    /// It was told that there is none.
    Missing,
}

impl Held {
    pub fn resource((name, resource): (&String, &Arc<Resource>)) -> (String, Self) {
        (name.clone(), Self::Resource(Arc::clone(resource)))
    }

    pub fn missing(name: &str) -> (String, Self) {
        (name.to_owned(), Self::Missing)
    }

    pub fn version(&self) -> Option<&String> {
        match self {
            Self::Resource(resource) => Some(&resource.version),
            Self::Version(version) => Some(version),
            Self::Missing => None,
        }
    }

    pub fn exists(&self) -> bool {
        !matches!(self, Self::Missing)
    }
}

/// A push that is not answered yet.
#[derive(Debug)]
pub(super) struct Push {
    pub nonce: String,
    pub version: String,
    /// What it was made of.
    pub target: Arc<Resources>,
    pub changes: BTreeMap<String, Held>,
    /// Whether the client holds nothing but this afterwards.
    pub whole: bool,
}

impl Push {
    /// What the client refused, name by name.
    pub fn refused(&self, held: &BTreeMap<String, Held>) -> BTreeMap<String, Option<String>> {
        let left_out = held.keys().filter(|_| self.whole).map(|name| (name, None));
        let changes = self.changes.iter();
        let changes = changes.map(|(name, held)| (name, held.version().cloned()));
        left_out
            .chain(changes)
            .map(|(name, version)| (name.clone(), version))
            .collect()
    }
}
