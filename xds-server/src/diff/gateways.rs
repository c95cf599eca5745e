//! What each gateway's Envoy would get.

use crate::serve::{Configurations, Cost};
use crate::xds::ResourceType;
use meridian_policy::RegionName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What an Envoy would get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayChange {
    /// Its region.
    pub region: RegionName,
    /// What its configuration costs now; `None` if it is new.
    pub before: Option<Cost>,
    /// What it would cost; `None` if it goes.
    pub after: Option<Cost>,
    /// Resources that it would be sent or lose, by type.
    pub resources: BTreeMap<String, Counts>,
}

/// Numbers of resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// New ones.
    pub added: usize,
    /// Those that differ.
    pub changed: usize,
    /// Those that go.
    pub removed: usize,
}

/// The gateways whose configuration differs.
pub fn changes(before: &Configurations, after: &Configurations) -> Vec<GatewayChange> {
    let regions: BTreeSet<&RegionName> = before.costs.keys().chain(after.costs.keys()).collect();
    let all = regions.into_iter().map(|region| GatewayChange {
        region: region.clone(),
        before: before.costs.get(region).copied(),
        after: after.costs.get(region).copied(),
        resources: resources(before, after, region),
    });
    all.filter(|change| !change.resources.is_empty()).collect()
}

fn resources(
    before: &Configurations,
    after: &Configurations,
    region: &RegionName,
) -> BTreeMap<String, Counts> {
    let of = |side: &Configurations, kind| {
        let resources = side.publication.get(region);
        let all = resources.map(|resources| resources.of(kind).clone());
        all.unwrap_or_default()
    };
    let counts = ResourceType::ALL.into_iter().map(|kind| {
        let (old, new) = (of(before, kind), of(after, kind));
        let mut counts = Counts::default();
        for (name, resource) in &new {
            match old.get(name) {
                None => counts.added += 1,
                Some(old) if old.version != resource.version => counts.changed += 1,
                Some(_) => {}
            }
        }
        counts.removed = old.keys().filter(|name| !new.contains_key(*name)).count();
        (kind.label().to_owned(), counts)
    });
    counts
        .filter(|(_, counts)| *counts != Counts::default())
        .collect()
}
