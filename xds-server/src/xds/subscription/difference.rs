//! Computes the difference between what the client has and what it should have.

use super::Subscription;
use super::due::Due;
use super::held::Known;
use crate::xds::encoded::EncodedResource;
use crate::xds::resource_type::ResourceType;
use crate::xds::resources::{ByName, Typed};
use crate::xds::status::Wire;
use std::collections::BTreeSet;
use std::sync::Arc;

impl Subscription {
    /// What the client should have and does not. `release`: whether resources that are gone may be removed now.
    pub(super) fn due(&self, release: bool) -> Due<'_> {
        let mut due = Due::default();
        let Some(target) = &self.target else {
            return due;
        };
        self.compare_existing(target, &mut due);
        // SotW can express a removal only for types whose response is the full state.
        if self.wire == Wire::Delta || self.kind.is_full_state() {
            self.compare_removed(target, release, &mut due);
        }
        due
    }

    fn compare_existing<'a>(&'a self, target: &'a Arc<Typed>, due: &mut Due<'a>) {
        let mut sort = |resource: &'a Arc<EncodedResource>| {
            due.wanted.push(resource);
            let name = resource.name();
            let is_new =
                !self.knows(resource, target) && !self.is_rejected(name, Some(&resource.version));
            if is_new || self.forced.contains(name) {
                due.changed.push(resource);
            }
        };
        let all = target.by_name();
        if self.interest.wildcard() {
            all.values().for_each(sort);
        } else {
            let names = self.interest.names().iter();
            names.filter_map(|name| all.get(name)).for_each(&mut sort);
        }
    }

    fn compare_removed<'a>(&'a self, target: &'a Arc<Typed>, release: bool, due: &mut Due<'a>) {
        let Self {
            interest, forced, ..
        } = self;
        let all = target.by_name();
        let names = interest.names().iter();
        let names: BTreeSet<&Arc<str>> = names
            .chain(self.names_beside(target))
            .chain(forced)
            .filter(|name| !all.contains_key(*name) && interest.covers(name))
            .collect();
        // Only a new or changed listener can need the address of an old one.
        let mut changed = due.changed.iter();
        let new_listeners = self.kind == ResourceType::Listener
            && changed.any(|resource| !self.knows(resource, target));
        for name in names {
            let forced = forced.contains(name);
            let may_send = forced || !self.is_rejected(name, None);
            match self.known(name) {
                Some(Known::Missing) if !forced => due.absent.push(name),
                Some(Known::Missing) | None => {
                    if may_send {
                        due.gone.push(name);
                    }
                }
                Some(held) if release || (new_listeners && blocks_address(held, all)) => {
                    if may_send {
                        due.gone.push(name);
                    }
                }
                Some(held) => {
                    if let (Known::Resource(resource), true) = (held, forced) {
                        due.changed.push(resource);
                    }
                    due.kept.push((name, held));
                }
            }
        }
    }
}

/// Whether an old listener has an address of a new one, or may have: two listeners cannot share an address.
fn blocks_address(held: Known<'_>, all: &ByName) -> bool {
    let Known::Resource(old) = held else {
        return true;
    };
    let old = &old.references().addresses;
    let mut new = all
        .values()
        .flat_map(|listener| &listener.references().addresses);
    new.any(|address| old.contains(address))
}
