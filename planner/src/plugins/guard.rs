//! The guard's policy.

use super::smaller_context::{contexts, smaller_context};
use crate::topology::Topology;
use meridian_policy::RegionName;
use meridian_policy::chain::Member;
use meridian_policy::guard_policy::GuardPolicy;

/// The policy of the guard at a region's gateway.
pub fn guard_policy(topology: &Topology, home: &RegionName) -> GuardPolicy {
    let mut policy = GuardPolicy {
        region: Some(home.clone()),
        above: Some(topology.overflow.above),
        stream_idle_timeout_ms: u64::try_from(topology.limits.stream_idle_timeout.as_millis()).ok(),
        least_rate: topology.limits.least_rate,
        ..GuardPolicy::default()
    };
    for (name, zone) in &topology.zones {
        if let Some(fallback) = zone.fallbacks.last() {
            let member = Member::Fallback(fallback.clone());
            policy.last.insert(name.clone(), member.label());
        }
        for model in topology.models() {
            let smaller = smaller_context(topology, name, model, home);
            if !smaller.is_empty() {
                let models = policy.smaller_context.entry(name.clone()).or_default();
                models.insert(model.clone(), smaller);
                policy
                    .contexts
                    .insert(model.clone(), contexts(topology, model));
            }
        }
    }
    policy
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_fixtures::fleets::{LLAMA, MISTRAL, example};

    #[test]
    fn only_the_last_fallback_of_a_zone_is_marked_last() {
        let mut fleet = example();
        let global = fleet.zones.get_mut("global").unwrap();
        global.fallbacks = vec!["claude-eu".parse().unwrap(), "claude".parse().unwrap()];
        let policy = guard_policy(&(&fleet).into(), &"us-west-2".parse().unwrap());
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

    /// Checks whether each member of us-west-2's chain forwards a long prompt.
    fn check(contexts: [Option<u32>; 4], forwards: [bool; 4]) {
        let mut fleet = example();
        for (region, context) in ["us-west-2", "us-east-1", "eu-west-1"].iter().zip(contexts) {
            let region = fleet.regions.get_mut(*region).unwrap();
            region
                .contexts
                .extend(context.map(|context| (LLAMA.parse().unwrap(), context)));
        }
        fleet.fallbacks.get_mut("claude").unwrap().context = contexts[3];
        let policy = guard_policy(&(&fleet).into(), &"us-west-2".parse().unwrap());
        let members = ["us-west-2", "us-east-1", "eu-west-1", "fallback/claude"];
        let found = members.map(|member| policy.may_fit_later("global", LLAMA, member));
        assert_eq!(found, forwards, "{contexts:?}");
        assert!(
            !policy.may_fit_later("global", MISTRAL, "us-west-2"),
            "its context is unknown"
        );
        assert!(!policy.may_fit_later("nowhere", LLAMA, "us-west-2"));
    }

    #[test]
    fn prompts_are_forwarded_only_to_a_known_larger_context() {
        check([None; 4], [false; 4]);
        check([Some(32), Some(32), Some(32), Some(32)], [false; 4]);
        check(
            [Some(32), Some(32), Some(32), Some(200)],
            [true, true, true, false],
        );
        check(
            [Some(32), None, Some(32), Some(200)],
            [true, false, true, false],
        );
        check([Some(200), None, None, Some(32)], [false; 4]);
        // The overflow lane may start at us-east-1. Home then comes later.
        check(
            [Some(128), Some(32), Some(64), None],
            [false, true, true, false],
        );
    }
}
