//! What the guard of one gateway needs of the fleet, as the JSON that travels in Envoy's configuration.

use crate::context::outgrown;
use crate::fleet::Fleet;
use crate::name::{ModelName, RegionName, ZoneName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One gateway's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardPolicy {
    /// How long a stream may be silent after its first content, in milliseconds; as long as it likes if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap_ms: Option<u64>,
    /// By zone and model, who is followed in its chain by one with a larger context: regions and `fallback/<name>`.
    #[serde(default)]
    pub outgrown: BTreeMap<ZoneName, BTreeMap<ModelName, BTreeSet<String>>>,
}

impl GuardPolicy {
    /// The policy of the guard at a region's gateway.
    pub fn for_region(fleet: &Fleet, home: &RegionName) -> Self {
        let mut policy = Self {
            gap_ms: u64::try_from(fleet.limits.gap.as_millis()).ok(),
            outgrown: BTreeMap::new(),
        };
        for zone in fleet.zones.keys() {
            for model in fleet.models() {
                let outgrown = outgrown(fleet, zone, model, home);
                if !outgrown.is_empty() {
                    let models = policy.outgrown.entry(zone.clone()).or_default();
                    models.insert(model.clone(), outgrown);
                }
            }
        }
        policy
    }

    /// Whether a prompt that was too long for `member` (a region or `fallback/<name>`, as endpoints' metadata say) may fit
    /// one that is asked after it. The route headers name zone and model; for what is not known the answer is final.
    pub fn may_fit_later(&self, zone: &str, model: &str, member: &str) -> bool {
        let outgrown = self.outgrown.get(zone).and_then(|zone| zone.get(model));
        outgrown.is_some_and(|outgrown| outgrown.contains(member))
    }
}
