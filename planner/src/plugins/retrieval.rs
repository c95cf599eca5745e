//! The policy of the plugin `retrieval`.

use crate::retrieval::{databases, readers};
use meridian_policy::retrieval_policy::RetrievalPolicy;
use meridian_policy::{Fleet, RegionName};

/// The policy of a region's gateway. It follows from the fleet alone.
pub fn retrieval_policy(fleet: &Fleet, home: &RegionName) -> RetrievalPolicy {
    let readers = readers(fleet, home);
    RetrievalPolicy {
        readers: readers
            .iter()
            .map(|reader| fleet.spiffe_id(reader))
            .collect(),
        databases: databases(fleet, home).into_iter().collect(),
    }
}
