//! The difference that a push removes.

use super::held::Known;
use crate::xds::encoded::EncodedResource;
use crate::xds::resource_type::ResourceType;
use crate::xds::resources::Typed;
use crate::xds::version::version;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Due<'a> {
    /// All published resources that the client wants, in the order of their names.
    pub wanted: Vec<&'a Arc<EncodedResource>>,
    /// Resources to send.
    pub changed: Vec<&'a Arc<EncodedResource>>,
    /// Names to report as removed.
    pub gone: Vec<&'a Arc<str>>,
    /// Names that the client knows not to exist.
    pub absent: Vec<&'a Arc<str>>,
    /// Removed resources that the client still needs.
    pub kept: Vec<(&'a Arc<str>, Known<'a>)>,
}

impl<'a> Due<'a> {
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.gone.is_empty()
    }

    /// All resources that the client has after the push, by name.
    pub fn whole(&self) -> Vec<&'a Arc<EncodedResource>> {
        if self.kept.is_empty() {
            return self.wanted.clone();
        }
        let kept = self.kept.iter().filter_map(|(_, held)| match held {
            Known::Resource(resource) | Known::Uncertain(Some(resource)) => Some(*resource),
            Known::Version(_) | Known::Missing | Known::Uncertain(None) => None,
        });
        let all = self.wanted.iter().copied().chain(kept);
        let by_name: BTreeMap<_, _> = all.map(|resource| (resource.name(), resource)).collect();
        by_name.into_values().collect()
    }

    /// The version of what the client has after the push.
    pub fn version(&self, kind: ResourceType, target: &Typed) -> Arc<str> {
        let wanted = self.wanted.iter();
        let wanted = wanted.map(|resource| (&**resource.name(), &*resource.version));
        if self.kept.is_empty() {
            return if self.wanted.len() == target.by_name().len() {
                Arc::clone(target.version(kind))
            } else {
                version(kind, wanted).into()
            };
        }
        let kept = self.kept.iter();
        let kept = kept.filter_map(|(name, held)| Some((&***name, &**held.sent_version()?)));
        let pairs: BTreeMap<&str, &str> = wanted.chain(kept).collect();
        version(kind, pairs.into_iter()).into()
    }
}
