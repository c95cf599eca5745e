//! The configuration of the plugin `pool`, as JSON in Envoy's configuration.

use crate::name::ModelName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The balancing policy of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// Picks the server with the least load.
    #[default]
    LeastLoad,
    /// Picks the server of the request's conversation by hash, unless its load is clearly above the mean.
    Affinity,
}

/// How a region's gateway picks servers for the requests of other gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolPolicy {
    /// The balancing policy of each pool of the region.
    pub pools: BTreeMap<ModelName, Balance>,
}

impl PoolPolicy {
    /// The balancing policy of a model's pool.
    pub fn balance(&self, model: &str) -> Balance {
        self.pools.get(model).copied().unwrap_or_default()
    }
}
