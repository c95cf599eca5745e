//! Retrieval: the vector databases that a region's queries may go to.
//!
//! A TCP connection does not carry the caller's zone. A query at a region's gateway may belong to any zone that the
//! region serves. It may therefore go only where all of those zones may go. A response may likewise concern any zone of
//! the database's region.

use meridian_policy::RegionName;
use meridian_policy::fleet::Fleet;
use meridian_policy::retrieval::Role;

/// Whether retrieval at `home` may use the database of `other`. Every pinned zone must contain both regions or neither,
/// so that no query and no response leaves a zone.
pub fn may_read(fleet: &Fleet, home: &RegionName, other: &RegionName) -> bool {
    let mut pinned = fleet.zones.values().filter(|zone| zone.pinned);
    home == other || pinned.all(|zone| zone.regions.contains(home) == zone.regions.contains(other))
}

/// The databases that may serve retrieval at `home`, by region: its own, then the primary, then the others by distance.
/// Empty if `home` has no database.
pub fn databases(fleet: &Fleet, home: &RegionName) -> Vec<RegionName> {
    let Some(region) = fleet.regions.get(home) else {
        return Vec::new();
    };
    if region.vector_db.is_none() {
        return Vec::new();
    }
    let mut others: Vec<(Role, &RegionName)> = region
        .nearest
        .iter()
        .filter(|other| may_read(fleet, home, other))
        .filter_map(|other| {
            let database = fleet.regions.get(other)?.vector_db.as_ref()?;
            Some((database.role, other))
        })
        .collect();
    // The sort is stable: equal roles stay ordered by distance.
    others.sort_by_key(|(role, _)| *role);
    let others = others.into_iter().map(|(_, other)| other);
    [home].into_iter().chain(others).cloned().collect()
}

/// The databases in the order in which retrieval at `home` tries them, starting with the plan's choice `first` if it may
/// be read.
pub fn chain(fleet: &Fleet, home: &RegionName, first: &RegionName) -> Vec<RegionName> {
    let mut databases = databases(fleet, home);
    if let Some(index) = databases.iter().position(|region| region == first) {
        databases[..=index].rotate_right(1);
    }
    databases
}

/// All regions with a database.
pub fn with_database(fleet: &Fleet) -> impl Iterator<Item = &RegionName> {
    let regions = fleet.regions.iter();
    regions
        .filter(|(_, region)| region.vector_db.is_some())
        .map(|(name, _)| name)
}

/// The other regions whose gateways may read the database of `home`.
pub fn readers(fleet: &Fleet, home: &RegionName) -> Vec<RegionName> {
    let regions = fleet.regions.keys().filter(|reader| *reader != home);
    regions
        .filter(|reader| databases(fleet, reader).contains(home))
        .cloned()
        .collect()
}
