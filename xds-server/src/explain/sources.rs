//! What told the caller's zone, and what was not believed.

use super::explanation::{Finding, SourceReport, ZoneReport};
use super::place::Inputs;
use super::request::Sent;
use meridian_filter_core::classify::{Classified, SourceValue, values};
use meridian_policy::chain::Member;
use meridian_policy::filter_policy::FilterPolicy;

/// Each source, and what it says.
pub fn sources(
    policy: &FilterPolicy,
    sent: &Sent,
    caller: Option<&Classified>,
) -> Vec<SourceReport> {
    let values = values(policy, Some(sent.from), &sent.header_map());
    let mut is_decided = false;
    let each = policy.sources.iter().zip(values);
    each.map(|(source, value)| {
        let finding = match value {
            None => Finding::NotTrusted {
                trusted: source.trust.cidr.iter().map(ToString::to_string).collect(),
            },
            Some(SourceValue::Absent) => Finding::Absent,
            Some(SourceValue::Invalid) => Finding::Invalid,
            Some(SourceValue::Zone(zone)) => Finding::Zone {
                pinned: policy.zones.get(&zone).is_none_or(|rule| rule.pinned),
                zone,
            },
        };
        let names = |caller: &Classified| {
            let is_zone = matches!(&finding, Finding::Zone { zone, .. } if *zone == caller.zone);
            is_zone && caller.by == source.header
        };
        let decides = !is_decided && caller.is_some_and(names);
        is_decided |= decides;
        SourceReport {
            header: source.header.clone(),
            value: sent.value(&source.header),
            finding,
            decides,
        }
    })
    .collect()
}

/// The caller's zone.
pub fn zone(inputs: Inputs<'_>, caller: Classified) -> ZoneReport {
    let rule = inputs.policy.zones.get(&caller.zone);
    let of_fleet = inputs.topology.zones.get(&caller.zone);
    let regions = of_fleet.into_iter().flat_map(|zone| &zone.regions);
    let fallbacks = of_fleet.into_iter().flat_map(|zone| &zone.fallbacks);
    ZoneReport {
        definition: rule.map(|rule| rule.definition.clone()),
        pinned: rule.is_none_or(|rule| rule.pinned),
        regions: regions.cloned().collect(),
        fallbacks: fallbacks
            .map(|it| Member::Fallback(it.clone()).label())
            .collect(),
        zone: caller.zone,
        by: caller.by,
    }
}
