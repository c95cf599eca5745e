//! Endpoints of routes: whether each zone's requests may reach them, and through this gateway.

use super::cluster::Trail;
use super::endpoint::Target;
use super::entry::Entry;
use super::owner::Owner;
use super::residency::{may_end_at, may_transit};
use super::walk::{Walk, Zones};
use meridian_policy::FallbackName;
use std::collections::BTreeSet;

impl<'f> Walk<'f> {
    /// Checks one endpoint of a route for each zone that the route serves. Returns the providers at the endpoint.
    pub fn destination(
        &mut self,
        entry: &Entry<'f>,
        zones: &Zones<'f>,
        trail: Trail<'f>,
    ) -> BTreeSet<&'f FallbackName> {
        let Trail { path, target } = trail;
        if !matches!(entry, Entry::Internal(_)) {
            for (name, zone) in &self.fleet.zones {
                if zones.contains(name) && !may_transit(zone, self.home) {
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
        let owners = match target {
            Target::Internal(listener) => {
                match entry {
                    Entry::Filtered | Entry::Open => {
                        self.routed.entry(listener).or_default().extend(zones);
                    }
                    Entry::Peers(_) | Entry::Internal(_) => {
                        self.leaks
                            .add(&path, "only callers' own requests may be sent on");
                    }
                }
                return BTreeSet::new();
            }
            Target::Owned(owners) => owners,
        };
        let mut providers = BTreeSet::new();
        for owner in owners {
            self.direction(entry, &path, owner);
            for (name, zone) in &self.fleet.zones {
                if zones.contains(name) && !may_end_at(zone, owner) {
                    self.leaks.add(
                        &path,
                        format!("a request of the pinned zone `{name}` can reach {owner}, outside the zone"),
                    );
                }
            }
            if let Owner::Provider(fallback) = owner {
                providers.insert(fallback);
            }
        }
        providers
    }

    /// Checks an endpoint against the kind of listener, for all zones.
    fn direction(&mut self, entry: &Entry<'f>, path: &str, owner: Owner<'f>) {
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
