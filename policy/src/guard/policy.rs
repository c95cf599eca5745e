//! What the guard of one gateway needs of the fleet, as the JSON that travels in Envoy's configuration.

use crate::chain::Member;
use crate::context::outgrown;
use crate::fleet::Fleet;
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
    /// How long a stream may be silent after its first content, in milliseconds; as long as it likes if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap_ms: Option<u64>,
    /// Above this utilization a region has too many requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// By zone and model, who is followed in its chain by one with a larger context: regions and `fallback/<name>`.
    #[serde(default)]
    pub outgrown: BTreeMap<ZoneName, BTreeMap<ModelName, BTreeSet<String>>>,
    /// By zone, its last fallback, `fallback/<name>`.
    #[serde(default)]
    pub last: BTreeMap<ZoneName, String>,
}

impl GuardPolicy {
    /// The policy of the guard at a region's gateway.
    pub fn for_region(fleet: &Fleet, home: &RegionName) -> Self {
        let mut policy = Self {
            region: Some(home.clone()),
            above: Some(fleet.overflow.above),
            gap_ms: u64::try_from(fleet.limits.gap.as_millis()).ok(),
            ..Self::default()
        };
        for (zone, own) in &fleet.zones {
            if let Some(fallback) = own.fallbacks.last() {
                let member = Member::Fallback(fallback.clone());
                policy.last.insert(zone.clone(), member.answers_as());
            }
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

    /// Whether nobody is left to be asked once `member` has refused or failed: the attempts that may be left would come back to
    /// it, and it is paid for.
    pub fn is_last(&self, zone: &str, member: &str) -> bool {
        self.last.get(zone).is_some_and(|last| last == member)
    }

    /// Whether a prompt that was too long for `member` (a region or `fallback/<name>`, as endpoints' metadata say) may fit
    /// one that is asked after it. The route headers name zone and model; for what is not known the answer is final.
    pub fn may_fit_later(&self, zone: &str, model: &str, member: &str) -> bool {
        let outgrown = self.outgrown.get(zone).and_then(|zone| zone.get(model));
        outgrown.is_some_and(|outgrown| outgrown.contains(member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fleets::example;

    #[test]
    fn the_last_fallback_of_a_zone_is_the_last() {
        let mut fleet = example();
        let global = fleet.zones.get_mut("global").unwrap();
        global.fallbacks = vec!["claude-eu".into(), "claude".into()];
        let policy = GuardPolicy::for_region(&fleet, &"us-west-2".into());
        for (zone, member, is_last) in [
            ("global", "fallback/claude", true),
            ("global", "fallback/claude-eu", false),
            ("global", "eu-west-1", false),
            ("eea", "fallback/claude-eu", true),
            ("nowhere", "fallback/claude", false),
        ] {
            assert_eq!(policy.is_last(zone, member), is_last, "{zone} {member}");
        }
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<GuardPolicy>(&json).unwrap(), policy);
    }
}
