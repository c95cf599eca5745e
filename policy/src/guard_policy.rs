//! The configuration of the plugin `guard`, as JSON in Envoy's configuration.

use crate::name::{ModelName, RegionName, ZoneName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The configuration of the guard of one gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardPolicy {
    /// The region of the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionName>,
    /// Maximum silence of a stream after its first content, in milliseconds. `None`: no limit.
    #[serde(default, alias = "gap_ms", skip_serializing_if = "Option::is_none")]
    pub stream_idle_timeout_ms: Option<u64>,
    /// Bytes per second that an answer brings at least, averaged over `stream_idle_timeout_ms`. `None`: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_rate: Option<u32>,
    /// Utilization above which a region sheds requests, 0 to 1. `None`: load reports are not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// By zone and model: the chain members (regions and `fallback/<name>`) that a member with a larger context follows.
    #[serde(default, alias = "outgrown")]
    pub smaller_context: BTreeMap<ZoneName, BTreeMap<ModelName, BTreeSet<String>>>,
    /// By model with an entry above: the contexts of regions and `fallback/<name>` that the fleet file gives, in tokens.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contexts: BTreeMap<ModelName, BTreeMap<String, u32>>,
    /// By zone: its last fallback, as `fallback/<name>`.
    #[serde(default)]
    pub last: BTreeMap<ZoneName, String>,
}

impl GuardPolicy {
    /// Whether `member` is the last fallback of the zone. Further attempts would reach it again, and it charges for each.
    pub fn is_last(&self, zone: &str, member: &str) -> bool {
        self.last.get(zone).is_some_and(|last| last == member)
    }

    /// Whether a prompt that was too long for `member` may fit a later member of the chain. `member`: a region or
    /// `fallback/<name>`, from the endpoint metadata. `false` for an unknown zone or model.
    pub fn may_fit_later(&self, zone: &str, model: &str, member: &str) -> bool {
        let members = self
            .smaller_context
            .get(zone)
            .and_then(|zone| zone.get(model));
        members.is_some_and(|members| members.contains(member))
    }

    /// The context of a region or `fallback/<name>` in tokens, if the fleet file gives it and another one has a larger one.
    pub fn context(&self, model: &str, member: &str) -> Option<u32> {
        self.contexts.get(model)?.get(member).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_an_older_control_plane_is_read() {
        let older = r#"{"region":"eu-west-1","gap_ms":60000,"above":0.8,"outgrown":{},"last":{}}"#;
        let policy: GuardPolicy = serde_json::from_str(older).unwrap();
        assert_eq!(policy.stream_idle_timeout_ms, Some(60_000));
        assert_eq!(policy.least_rate, None);
        let newer = serde_json::to_string(&policy).unwrap();
        assert!(newer.contains("stream_idle_timeout_ms"), "{newer}");
    }
}
