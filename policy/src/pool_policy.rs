//! The configuration of the plugin `pool`: how the servers of a region's pools are picked, as the JSON that travels in Envoy's
//! configuration.

use crate::name::ModelName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a pool's server is picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// The one that has the least to do.
    #[default]
    LeastLoad,
    /// The one that conversations of this key are for, by hash, unless it has clearly more to do than the others.
    Affinity,
}

/// What the gateway of a region needs to pick servers for other gateways' requests, as the JSON that travels in Envoy's
/// configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolPolicy {
    /// How each of its pools balances.
    pub pools: BTreeMap<ModelName, Balance>,
}

impl PoolPolicy {
    /// How the pool of a model balances.
    pub fn balance(&self, model: &str) -> Balance {
        self.pools.get(model).copied().unwrap_or_default()
    }
}
