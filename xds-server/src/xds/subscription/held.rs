//! What a client has of a name, and what a push changes.

use crate::xds::resources::{Resource, Resources};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(super) enum Held {
    /// Sent on this stream.
    Resource(Arc<Resource>),
    /// Kept by the client from an earlier stream.
    Version(String),
    /// Reported to the client as missing.
    Missing,
    /// The client rejected a push that contained it. It may have the new resource, the old one, or none.
    Uncertain(Option<Arc<Resource>>),
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
            Self::Missing | Self::Uncertain(_) => None,
        }
    }

    /// The version of a resource that stays.
    pub fn sent_version(&self) -> Option<&String> {
        match self {
            Self::Uncertain(before) => before.as_ref().map(|resource| &resource.version),
            _ => self.version(),
        }
    }

    /// The state after a push that changes it was rejected.
    pub fn uncertain(before: Option<Self>) -> Self {
        match before {
            Some(Self::Resource(resource)) => Self::Uncertain(Some(resource)),
            Some(Self::Uncertain(before)) => Self::Uncertain(before),
            Some(Self::Version(_) | Self::Missing) | None => Self::Uncertain(None),
        }
    }

    pub fn exists(&self) -> bool {
        matches!(
            self,
            Self::Resource(_) | Self::Version(_) | Self::Uncertain(Some(_))
        )
    }

    pub fn may_exist(&self) -> bool {
        !matches!(self, Self::Missing)
    }
}

/// A push that the client has not acknowledged yet.
#[derive(Debug)]
pub(super) struct InFlight {
    pub nonce: String,
    pub version: String,
    /// The state that it was made from.
    pub target: Arc<Resources>,
    pub changes: BTreeMap<String, Held>,
    /// Whether it replaces everything that the client has.
    pub whole: bool,
}

impl InFlight {
    /// The rejected versions by name; `None` for a removal.
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
