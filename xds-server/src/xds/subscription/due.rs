//! The difference that a push removes.

use super::held::Held;
use crate::xds::resources::{Resource, ResourceType};
use crate::xds::version::version;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A resource and its name.
pub(super) type Named<'a> = (&'a String, &'a Arc<Resource>);

#[derive(Debug, Default)]
pub(super) struct Due<'a> {
    /// Resources to send.
    pub changed: Vec<Named<'a>>,
    /// Names to report as removed.
    pub gone: Vec<&'a String>,
    /// Names that the client knows not to exist.
    pub absent: Vec<&'a String>,
    /// Resources that the client has in this version.
    pub same: Vec<Named<'a>>,
    /// Removed resources that the client still needs.
    pub kept: Vec<(&'a String, &'a Held)>,
}

impl<'a> Due<'a> {
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty()
    }

    /// All resources that the client has after the push, by name.
    pub fn whole(&self) -> Vec<Named<'a>> {
        let kept = self.kept.iter().filter_map(|(name, held)| match held {
            Held::Resource(resource) | Held::Uncertain(Some(resource)) => Some((*name, resource)),
            Held::Version(_) | Held::Missing | Held::Uncertain(None) => None,
        });
        let all = self.same.iter().chain(&self.changed).copied();
        let by_name: BTreeMap<_, _> = all.chain(kept).collect();
        by_name.into_iter().collect()
    }

    /// The version of what the client has after the push.
    pub fn version(&self, kind: ResourceType) -> String {
        let sent = self.same.iter().chain(&self.changed);
        let sent = sent.map(|(name, resource)| (name.as_str(), resource.version.as_str()));
        let kept = self.kept.iter();
        let kept =
            kept.filter_map(|(name, held)| Some((name.as_str(), held.sent_version()?.as_str())));
        let pairs: BTreeMap<&str, &str> = sent.chain(kept).collect();
        version(kind, pairs.into_iter())
    }
}
