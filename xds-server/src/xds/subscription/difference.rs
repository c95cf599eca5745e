//! Computes the difference between what the client has and what it should have.

use super::Subscription;
use super::due::{Due, Named};
use super::held::Held;
use crate::xds::reference::addresses;
use crate::xds::resources::{Resource, ResourceType};
use crate::xds::status::Wire;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Subscription {
    /// What the client should have and does not. `release`: whether resources that are gone may be removed now.
    pub(super) fn due(&self, release: bool) -> Due<'_> {
        let mut due = Due::default();
        let Some(target) = &self.target else {
            return due;
        };
        let all = target.of(self.kind);
        self.compare_existing(all, &mut due);
        // SotW can express a removal only for types whose response is the full state.
        if self.wire == Wire::Delta || self.kind.is_full_state() {
            self.compare_removed(all, release, &mut due);
        }
        due
    }

    fn compare_existing<'a>(&'a self, all: &'a BTreeMap<String, Arc<Resource>>, due: &mut Due<'a>) {
        let mut sort = |(name, resource): Named<'a>| {
            let is_new =
                !self.knows(name, resource) && !self.is_rejected(name, Some(&resource.version));
            if is_new || self.forced.contains(name) {
                due.changed.push((name, resource));
            } else {
                due.same.push((name, resource));
            }
        };
        if self.interest.wildcard() {
            all.iter().for_each(sort);
        } else {
            let names = self.interest.names().iter();
            let existing = names.filter_map(|name| all.get_key_value(name));
            existing.for_each(&mut sort);
        }
    }

    fn compare_removed<'a>(
        &'a self,
        all: &BTreeMap<String, Arc<Resource>>,
        release: bool,
        due: &mut Due<'a>,
    ) {
        let Self {
            interest, forced, ..
        } = self;
        let names = interest.names().iter();
        let names: BTreeSet<&String> = names
            .chain(self.known_names())
            .chain(forced)
            .filter(|name| !all.contains_key(*name) && interest.covers(name))
            .collect();
        // Only a new or changed listener can need the address of an old one.
        let mut changed = due.changed.iter();
        let new_listeners = self.kind == ResourceType::Listener
            && changed.any(|(name, resource)| !self.knows(name, resource));
        for name in names {
            let forced = forced.contains(name);
            let may_send = forced || !self.is_rejected(name, None);
            match self.known(name) {
                Some(Held::Missing) if !forced => due.absent.push(name),
                Some(Held::Missing) | None => {
                    if may_send {
                        due.gone.push(name);
                    }
                }
                Some(held) if release || (new_listeners && blocks_address(held, all)) => {
                    if may_send {
                        due.gone.push(name);
                    }
                }
                Some(Held::Resource(resource)) if forced => due.changed.push((name, resource)),
                Some(held) => due.kept.push((name, held)),
            }
        }
    }
}

/// Whether an old listener has an address of a new one, or may have: two listeners cannot share an address.
fn blocks_address(held: &Held, all: &BTreeMap<String, Arc<Resource>>) -> bool {
    let Held::Resource(old) = held else {
        return true;
    };
    let old = addresses(old);
    let mut new = all.values().flat_map(|listener| addresses(listener));
    new.any(|address| old.contains(&address))
}
