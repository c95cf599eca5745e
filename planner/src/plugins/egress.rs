//! Policies of the egress paths to fallbacks.

use crate::chain::gateways_of;
use meridian_policy::egress_policy::{Budget, EgressPolicy};
use meridian_policy::fleet::{Fallback, Fleet, Zone};
use meridian_policy::{FallbackName, ZoneId};
use std::collections::BTreeMap;

/// The policy of one gateway's egress path to a fallback. `zones`: the definitions whose requests may use it.
pub fn egress_policy(
    fleet: &Fleet,
    name: &FallbackName,
    fallback: &Fallback,
    zones: &BTreeMap<ZoneId, &Zone>,
) -> EgressPolicy {
    let tools = |pinned: bool| {
        let zones = zones.iter().filter(|(_, zone)| zone.pinned == pinned);
        zones
            .map(|(id, zone)| ((*id).clone(), zone.content.fallback_tools.clone()))
            .collect()
    };
    EgressPolicy {
        fallback: name.clone(),
        provider: fallback.provider.clone(),
        jurisdiction: fallback.jurisdiction.clone(),
        budget: split(fallback.budget, gateways_of(fleet, name)),
        price: fallback.price,
        context: fallback.context,
        renames: fallback.renames.clone(),
        keeps_chats: keeps_chats(&fallback.endpoint.host),
        unpinned: tools(false),
        pinned: tools(true),
    }
}

/// Whether a host keeps chats by default: OpenAI's own, and Azure's of the same software.
fn keeps_chats(host: &str) -> bool {
    ["openai.com", "openai.azure.com"].iter().any(|domain| {
        let front = host.strip_suffix(domain);
        front.is_some_and(|front| front.is_empty() || front.ends_with('.'))
    })
}

/// One gateway's part of a budget. Gateways share no state at request time. Fixed parts keep the total within the
/// budget.
fn split(budget: Budget, gateways: u64) -> Budget {
    let gateways = gateways.max(1);
    Budget {
        requests: budget.requests.map(|requests| requests / gateways),
        nanousd: budget.nanousd.map(|nanousd| nanousd / gateways),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateway_budgets_sum_to_at_most_the_total() {
        let whole = Budget {
            requests: Some(10),
            nanousd: Some(100),
        };
        let part = split(whole, 3);
        assert_eq!((part.requests, part.nanousd), (Some(3), Some(33)));
        let requests = Budget {
            requests: Some(5),
            nanousd: None,
        };
        assert_eq!(split(requests, 2).nanousd, None);
    }

    #[test]
    fn openai_keeps_chats() {
        for (host, keeps) in [
            ("api.openai.com", true),
            ("eu.api.openai.com", true),
            ("ours.openai.azure.com", true),
            ("api.mistral.ai", false),
            ("notopenai.com", false),
        ] {
            assert_eq!(keeps_chats(host), keeps, "{host}");
        }
    }

    #[test]
    fn the_zones_of_a_fallback_are_named_with_their_tools() {
        let mut fleet = meridian_fixtures::fleets::example();
        let eea = fleet.zones.get_mut("eea").unwrap();
        eea.content.fallback_tools = ["mcp".to_owned()].into();
        let (eea, global): (ZoneId, ZoneId) = (
            ZoneId::new(&"eea".parse().unwrap(), 1),
            ZoneId::new(&"global".parse().unwrap(), 2),
        );
        let zones = [
            (eea.clone(), &fleet.zones["eea"]),
            (global.clone(), &fleet.zones["global"]),
        ];
        let name: FallbackName = "claude".parse().unwrap();
        let policy = egress_policy(&fleet, &name, &fleet.fallbacks[&name], &zones.into());
        assert_eq!(policy.unpinned, [(global, [].into())].into());
        assert_eq!(policy.pinned, [(eea, ["mcp".to_owned()].into())].into());
    }
}
