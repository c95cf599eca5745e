//! Regions between which a gateway can choose.

use crate::chain::chain;
use meridian_policy::chain::Member;
use meridian_policy::fleet::Fleet;
use meridian_policy::{ModelName, RegionName, ZoneName};

/// The regions of a (zone, model) at a gateway in chain order: the first, and the others. `None` if there are fewer
/// than two.
pub fn regions_of(
    fleet: &Fleet,
    zone: &ZoneName,
    model: &ModelName,
    gateway: &RegionName,
) -> Option<(RegionName, Vec<RegionName>)> {
    let members = chain(fleet, zone, model, gateway);
    let mut regions = members.iter().filter_map(Member::region).cloned();
    let first = regions.next()?;
    let others: Vec<RegionName> = regions.collect();
    (!others.is_empty()).then_some((first, others))
}

/// Calls `call` for every (gateway, zone, model) with at least two regions: the first, and the others.
pub(crate) fn each_choice(
    fleet: &Fleet,
    mut call: impl FnMut(&RegionName, &ZoneName, &ModelName, (RegionName, Vec<RegionName>)),
) {
    for gateway in fleet.regions.keys() {
        for zone in fleet.zones.keys() {
            for model in fleet.models() {
                if let Some(regions) = regions_of(fleet, zone, model, gateway) {
                    call(gateway, zone, model, regions);
                }
            }
        }
    }
}
