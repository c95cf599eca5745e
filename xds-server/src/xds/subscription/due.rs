//! What a client should know and does not.

use super::held::Held;
use super::{Subscription, Wire};
use crate::xds::reference::addresses;
use crate::xds::resources::{Resource, ResourceType};
use crate::xds::version::version;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Named<'a> = (&'a String, &'a Arc<Resource>);

#[derive(Debug, Default)]
pub(super) struct Due<'a> {
    /// To be sent.
    pub changed: Vec<Named<'a>>,
    /// To be said not to exist.
    pub gone: Vec<&'a String>,
    /// Known not to exist, still.
    pub absent: Vec<&'a String>,
    /// Known already, and to stay.
    same: Vec<Named<'a>>,
    /// Gone, but the client needs it a little longer.
    kept: Vec<(&'a String, &'a Held)>,
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

/// `release`: whether what is gone may be taken away now.
pub(super) fn due(subscription: &Subscription, release: bool) -> Due<'_> {
    let mut due = Due::default();
    let Some(target) = &subscription.target else {
        return due;
    };
    let all = target.of(subscription.kind);
    existing(subscription, all, &mut due);
    // SotW has a way to say that something is gone only where an answer is the full state.
    if subscription.wire == Wire::Delta || subscription.kind.is_full_state() {
        lacking(subscription, all, release, &mut due);
    }
    due
}

fn existing<'a>(
    subscription: &'a Subscription,
    all: &'a BTreeMap<String, Arc<Resource>>,
    due: &mut Due<'a>,
) {
    let mut sort = |(name, resource): Named<'a>| {
        let news = !subscription.knows(name, resource)
            && !subscription.refused(name, Some(&resource.version));
        if news || subscription.owed.contains(name) {
            due.changed.push((name, resource));
        } else {
            due.same.push((name, resource));
        }
    };
    if subscription.interest.wildcard() {
        all.iter().for_each(sort);
    } else {
        let names = subscription.interest.names().iter();
        let there = names.filter_map(|name| all.get_key_value(name));
        there.for_each(&mut sort);
    }
}

fn lacking<'a>(
    subscription: &'a Subscription,
    all: &BTreeMap<String, Arc<Resource>>,
    release: bool,
    due: &mut Due<'a>,
) {
    let Subscription { interest, owed, .. } = subscription;
    let names = interest.names().iter();
    let names: BTreeSet<&String> = names
        .chain(subscription.known_names())
        .chain(owed)
        .filter(|name| !all.contains_key(*name) && interest.covers(name))
        .collect();
    // Only a new or changed listener can be in the way of an old one.
    let mut changed = due.changed.iter();
    let crowded = subscription.kind == ResourceType::Listener
        && changed.any(|(name, resource)| !subscription.knows(name, resource));
    for name in names {
        let owed = owed.contains(name);
        let may_say = owed || !subscription.refused(name, None);
        match subscription.known(name) {
            Some(Held::Missing) if !owed => due.absent.push(name),
            Some(Held::Missing) | None => {
                if may_say {
                    due.gone.push(name);
                }
            }
            Some(held) if release || (crowded && in_the_way(held, all)) => {
                if may_say {
                    due.gone.push(name);
                }
            }
            Some(Held::Resource(resource)) if owed => due.changed.push((name, resource)),
            Some(held) => due.kept.push((name, held)),
        }
    }
}

/// No two listeners can have one address: an old one goes where a new one takes over its address, or might.
fn in_the_way(held: &Held, all: &BTreeMap<String, Arc<Resource>>) -> bool {
    let Held::Resource(old) = held else {
        return true;
    };
    let old = addresses(old);
    let mut new = all.values().flat_map(|listener| addresses(listener));
    new.any(|address| old.contains(&address))
}
