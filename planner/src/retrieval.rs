//! Retrieval: which vector databases the questions of a region may go to.
//!
//! A TCP connection says nothing about a zone. What comes to a region's gateway may be anyone's whom that region serves, so it
//! may only go where all of them may; and what a database answers may be about anyone whom its own region serves.

use meridian_policy::RegionName;
use meridian_policy::fleet::Fleet;
use meridian_policy::retrieval::Role;

/// Whether what is retrieved at `home` may come from the database of `other`: if every pinned zone has both regions or neither,
/// so that neither a question nor an answer leaves one.
pub fn may_read(fleet: &Fleet, home: &RegionName, other: &RegionName) -> bool {
    let mut pinned = fleet.zones.values().filter(|zone| zone.pinned);
    home == other || pinned.all(|zone| zone.regions.contains(home) == zone.regions.contains(other))
}

/// The databases that may serve what is retrieved at `home`, by region: its own, then the primary, then the others by distance.
/// None where it has none of its own.
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
    // By role alone: the order by distance stays.
    others.sort_by_key(|(role, _)| *role);
    let others = others.into_iter().map(|(_, other)| other);
    [home].into_iter().chain(others).cloned().collect()
}

/// The databases in the order in which what is retrieved at `home` tries them, once a plan has chosen that of `first`. Empty
/// where that one is not allowed.
pub fn chain(fleet: &Fleet, home: &RegionName, first: &RegionName) -> Vec<RegionName> {
    let mut databases = databases(fleet, home);
    let Some(index) = databases.iter().position(|region| region == first) else {
        return Vec::new();
    };
    let first = databases.remove(index);
    databases.insert(0, first);
    databases
}

/// The other regions whose gateways may read the database of `home`.
pub fn readers(fleet: &Fleet, home: &RegionName) -> Vec<RegionName> {
    let regions = fleet.regions.keys().filter(|reader| *reader != home);
    regions
        .filter(|reader| databases(fleet, reader).contains(home))
        .cloned()
        .collect()
}
