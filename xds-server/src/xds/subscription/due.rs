//! What a client should know and does not.

use super::held::Held;
use crate::xds::resources::{Resource, ResourceType};
use crate::xds::version::version;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A resource and its name.
pub(super) type Named<'a> = (&'a String, &'a Arc<Resource>);

#[derive(Debug, Default)]
pub(super) struct Due<'a> {
    /// To be sent.
    pub changed: Vec<Named<'a>>,
    /// To be said not to exist.
    pub gone: Vec<&'a String>,
    /// Known not to exist, still.
    pub absent: Vec<&'a String>,
    /// Known already, and to stay.
    pub same: Vec<Named<'a>>,
    /// Gone, but the client needs it a little longer.
    pub kept: Vec<(&'a String, &'a Held)>,
}

impl<'a> Due<'a> {
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty()
    }

    /// All that the client holds afterwards, by name.
    pub fn whole(&self) -> Vec<Named<'a>> {
        let kept = self.kept.iter().filter_map(|(name, held)| match held {
            Held::Resource(resource) | Held::InDoubt(Some(resource)) => Some((*name, resource)),
            Held::Version(_) | Held::Missing | Held::InDoubt(None) => None,
        });
        let all = self.same.iter().chain(&self.changed).copied();
        let by_name: BTreeMap<_, _> = all.chain(kept).collect();
        by_name.into_iter().collect()
    }

    /// The version of what the client holds afterwards.
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
