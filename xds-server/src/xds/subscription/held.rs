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
    /// It has refused a push with this in it, and may have this, what it had before, or nothing.
    InDoubt(Option<Arc<Resource>>),
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
            Self::Missing | Self::InDoubt(_) => None,
        }
    }

    /// The version that it is sent in where it is to stay.
    pub fn sent_version(&self) -> Option<&String> {
        match self {
            Self::InDoubt(before) => before.as_ref().map(|resource| &resource.version),
            _ => self.version(),
        }
    }

    /// What becomes of it when a push that changes it is refused.
    pub fn in_doubt(before: Option<Self>) -> Self {
        match before {
            Some(Self::Resource(resource)) => Self::InDoubt(Some(resource)),
            Some(Self::InDoubt(before)) => Self::InDoubt(before),
            Some(Self::Version(_) | Self::Missing) | None => Self::InDoubt(None),
        }
    }

    pub fn exists(&self) -> bool {
        matches!(
            self,
            Self::Resource(_) | Self::Version(_) | Self::InDoubt(Some(_))
        )
    }

    pub fn may_exist(&self) -> bool {
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
