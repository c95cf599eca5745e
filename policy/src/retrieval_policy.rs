//! The configuration of the plugin `retrieval`, as JSON in Envoy's configuration.

use crate::name::RegionName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The connections for retrieval that a region's gateway may hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrievalPolicy {
    /// SPIFFE IDs of the gateways that may read the region's database.
    pub readers: BTreeSet<String>,
    /// Regions whose databases the region's own clients may read.
    pub databases: BTreeSet<RegionName>,
}
