//! The configuration of the plugin `guard`: what the guard of one gateway needs of the fleet, as the JSON that travels in Envoy's
//! configuration.

use crate::name::{ModelName, RegionName, ZoneName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One gateway's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardPolicy {
    /// The region whose gateway it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionName>,
    /// How long a stream may be silent after its first content, in milliseconds. `None`: no limit.
    #[serde(default, alias = "gap_ms", skip_serializing_if = "Option::is_none")]
    pub stream_idle_timeout_ms: Option<u64>,
    /// Above this utilization a region has too many requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// By zone and model, the members of its chains that are followed by one with a larger context: regions and `fallback/<name>`.
    #[serde(default, alias = "outgrown")]
    pub smaller_context: BTreeMap<ZoneName, BTreeMap<ModelName, BTreeSet<String>>>,
    /// By zone, its last fallback, `fallback/<name>`.
    #[serde(default)]
    pub last: BTreeMap<ZoneName, String>,
}

impl GuardPolicy {
    /// Whether nobody is left to be asked once `member` has refused or failed: the attempts that may be left would come back to
    /// it, and it is paid for.
    pub fn is_last(&self, zone: &str, member: &str) -> bool {
        self.last.get(zone).is_some_and(|last| last == member)
    }

    /// Whether a prompt that was too long for `member` (a region or `fallback/<name>`, as endpoints' metadata say) may fit
    /// one that is asked after it. The route headers name zone and model; for what is not known the answer is final.
    pub fn may_fit_later(&self, zone: &str, model: &str, member: &str) -> bool {
        let members = self
            .smaller_context
            .get(zone)
            .and_then(|zone| zone.get(model));
        members.is_some_and(|members| members.contains(member))
    }
}
