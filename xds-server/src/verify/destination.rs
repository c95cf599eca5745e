//! Endpoints of routes: whether each zone's requests may reach them, and through this gateway.

use super::cluster::Trail;
use super::endpoint::Target;
use super::entry::Entry;
use super::owner::Owner;
use super::provider::Provider;
use super::residency::{Definition, may_end_at, may_transit};
use super::walk::{Walk, Zones};
use std::collections::BTreeSet;

impl<'f> Walk<'f> {
    /// Checks one endpoint of a route for each definition that the route serves. Returns the definitions of providers at an endpoint of
    /// an internal listener: it is for that listener to be right for one of them.
    pub fn destination(
        &mut self,
        entry: &Entry,
        zones: &Zones,
        trail: Trail<'f>,
    ) -> Option<BTreeSet<Provider<'f>>> {
        let Trail { path, target } = trail;
        let served: Vec<Definition<'f>> = self
            .definitions
            .iter()
            .filter(|(id, _)| zones.contains(*id))
            .map(|(_, definition)| *definition)
            .collect();
        if !matches!(entry, Entry::Internal(_)) {
            for Definition { name, zone, .. } in &served {
                if !may_transit(zone, self.home) {
                    self.leaks.add(
                        &path,
                        format!(
                            "the pinned zone `{name}` must not pass through `{}`",
                            self.home
                        ),
                    );
                }
            }
        }
        let (owners, providers) = match target {
            Target::Internal(listener) => {
                match entry {
                    Entry::Filtered | Entry::Open => {
                        let routed = self.routed.entry(listener).or_default();
                        routed.extend(zones.iter().cloned());
                    }
                    Entry::Peers(_) | Entry::Internal(_) => {
                        self.leaks
                            .add(&path, "only callers' own requests may be sent on");
                    }
                }
                return None;
            }
            Target::Owned { owners, providers } => (owners, providers),
        };
        for owner in owners {
            self.direction(entry, &path, owner);
            if matches!((entry, owner), (Entry::Internal(_), Owner::Provider(_))) {
                continue;
            }
            for definition in &served {
                if !may_end_at(definition, &owner) {
                    let name = definition.name;
                    self.leaks.add(
                        &path,
                        format!("a request of the pinned zone `{name}` can reach {owner}, outside the zone"),
                    );
                }
            }
        }
        (matches!(entry, Entry::Internal(_)) && !providers.is_empty()).then_some(providers)
    }

    /// Checks an endpoint against the kind of listener, for all zones.
    fn direction(&mut self, entry: &Entry, path: &str, owner: Owner<'f>) {
        let wrong = match (entry, owner) {
            (_, Owner::Database(_) | Owner::DatabaseGateway(_)) => Some(format!(
                "a request is led to {owner}: only retrieval goes there"
            )),
            (Entry::Peers(_), Owner::Pool(region)) => (region != self.home).then(|| {
                format!(
                    "another gateway's request may only reach pools of `{}`",
                    self.home
                )
            }),
            (Entry::Peers(_), _) => {
                Some(format!("another gateway's request is sent on to {owner}"))
            }
            (Entry::Internal(_), Owner::Provider(_)) => None,
            (Entry::Internal(_), _) => Some(format!(
                "an internal listener leads to {owner}, not to a provider"
            )),
            (_, Owner::Provider(_)) => Some(format!(
                "{owner} may only be reached from an internal listener, where credentials change"
            )),
            (_, Owner::Gateway(region)) => {
                (region == self.home).then(|| "leads back to this gateway".to_owned())
            }
            (_, Owner::Pool(_)) => None,
        };
        if let Some(wrong) = wrong {
            self.leaks.add(path, wrong);
        }
    }
}
