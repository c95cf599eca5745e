//! Definitions: what a zone or a fallback promises, named by a hash of its content.
//!
//! An edit of the fleet file can give a name another meaning while requests are on their way. Whatever carries a promise in a gateway's
//! configuration is therefore named by an ID, which never means anything else. Statistics, logs and people keep the short names.

use meridian_policy::definition::Definitions;
use meridian_policy::egress_policy::{Claude, Provider};
use meridian_policy::fleet::{Fallback, Misdirected, ProviderEndpoint, Zone};
use meridian_policy::{FallbackId, FallbackName, Fleet, ZoneId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// The definitions of a fleet. Equal content has equal IDs, on any machine.
pub fn definitions(fleet: &Fleet) -> Definitions {
    let fallbacks: BTreeMap<FallbackName, FallbackId> = fleet
        .fallbacks
        .iter()
        .map(|(name, fallback)| {
            let id = FallbackId::new(name, hash(&fallback_content(fallback)));
            (name.clone(), id)
        })
        .collect();
    let zones = fleet
        .zones
        .iter()
        .map(|(name, zone)| {
            let id = ZoneId::new(name, hash(&zone_content(zone, &fallbacks)));
            (name.clone(), id)
        })
        .collect();
    Definitions { zones, fallbacks }
}

/// Arrays only: the order of an object's keys depends on how the JSON library was built.
fn hash(content: &Value) -> u64 {
    xxh3_64(content.to_string().as_bytes())
}

/// Where requests of the zone may go, and what may be done with them there. Not: who its callers are, in which order its regions are asked, and how
/// many of them.
fn zone_content(zone: &Zone, fallbacks: &BTreeMap<FallbackName, FallbackId>) -> Value {
    let Zone {
        countries: _,
        rest: _,
        pinned,
        regions,
        fallbacks: names,
        misdirected,
        order: _,
        failover: _,
        limits: _,
        content,
    } = zone;
    let fallbacks: Vec<Option<&FallbackId>> =
        names.iter().map(|name| fallbacks.get(name)).collect();
    json!([
        pinned,
        regions,
        fallbacks,
        *misdirected == Misdirected::Forward,
        content.fallback_tools,
        content.refuse_remote,
    ])
}

/// Who processes a request, where, and by which address. Not: our key, prices and budgets.
fn fallback_content(fallback: &Fallback) -> Value {
    let ProviderEndpoint {
        host,
        port,
        tls,
        path,
    } = &fallback.endpoint;
    let provider = match &fallback.provider {
        Provider::OpenaiCompatible => json!("openai_compatible"),
        Provider::Claude(Claude {
            host,
            model,
            inference_geo,
            max_tokens: _,
            max_body: _,
        }) => json!([host, model, inference_geo]),
    };
    json!([provider, host, port, tls, path, fallback.jurisdiction])
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_fixtures::fleets::example;
    use meridian_policy::fleet::Order;
    use std::time::Duration;

    /// The zones and fallbacks whose IDs an edit changes.
    fn changed(edit: impl FnOnce(&mut Fleet)) -> Vec<String> {
        let mut fleet = example();
        let before = definitions(&fleet);
        edit(&mut fleet);
        let after = definitions(&fleet);
        assert_eq!(after, definitions(&fleet.clone()));
        let zones = after.zones.iter();
        let zones = zones.filter(|(name, id)| before.zones.get(*name) != Some(id));
        let fallbacks = after.fallbacks.iter();
        let fallbacks = fallbacks.filter(|(name, id)| before.fallbacks.get(*name) != Some(id));
        let zones = zones.map(|(name, _)| name.to_string());
        zones
            .chain(fallbacks.map(|(name, _)| name.to_string()))
            .collect()
    }

    fn zone<'f>(fleet: &'f mut Fleet, name: &str) -> &'f mut Zone {
        fleet.zones.get_mut(name).unwrap()
    }

    fn fallback<'f>(fleet: &'f mut Fleet, name: &str) -> &'f mut Fallback {
        fleet.fallbacks.get_mut(name).unwrap()
    }

    #[test]
    fn every_part_of_a_promise_changes_the_id_of_its_zone_alone() {
        type Edit = fn(&mut Zone);
        let edits: [Edit; 6] = [
            |eea| eea.pinned = false,
            |eea| eea.regions.extend(["us-east-1".parse().unwrap()]),
            |eea| eea.fallbacks.clear(),
            |eea| eea.misdirected = Misdirected::Forward,
            |eea| eea.content.fallback_tools = ["mcp".into()].into(),
            |eea| eea.content.refuse_remote = true,
        ];
        for edit in edits {
            assert_eq!(changed(|fleet| edit(zone(fleet, "eea"))), ["eea"]);
        }
    }

    #[test]
    fn every_part_of_a_fallback_changes_its_id_and_those_of_its_zones() {
        type Edit = fn(&mut Fallback);
        let edits: [Edit; 6] = [
            |claude| claude.endpoint.host = "elsewhere.example.com".into(),
            |claude| claude.endpoint.port = 8443,
            |claude| claude.endpoint.tls = !claude.endpoint.tls,
            |claude| claude.endpoint.path = "/other".into(),
            |claude| claude.jurisdiction = ["uk".into()].into(),
            |claude| {
                claude.provider = Provider::Claude(Claude {
                    host: meridian_policy::egress_policy::ClaudeHost::Vertex,
                    model: "another".into(),
                    max_tokens: 1,
                    inference_geo: None,
                    max_body: None,
                });
            },
        ];
        for edit in edits {
            let changed = changed(|fleet| edit(fallback(fleet, "claude-eu")));
            assert_eq!(changed, ["eea", "claude-eu"]);
        }
    }

    #[test]
    fn whatever_promises_nothing_changes_no_id() {
        let unchanged = changed(|fleet| {
            let eea = zone(fleet, "eea");
            eea.countries.clear();
            eea.rest = true;
            eea.misdirected = Misdirected::Redirect;
            eea.order = Order::Priority(vec!["eu-west-1".parse().unwrap()]);
            fleet.limits.answer = Duration::from_secs(1);
            let claude = fallback(fleet, "claude-eu");
            claude.budget.requests = Some(7);
            claude.context = Some(7);
            claude.price = None;
            fleet.regions.get_mut("eu-west-1").unwrap().pools.clear();
        });
        assert_eq!(unchanged, [""; 0]);
    }
}
