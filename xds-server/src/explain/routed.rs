//! Where a decision leads: the share, the members, the limits.

use super::decisions::Decided;
use super::explanation::{LimitsReport, MemberReport, Routed, ShareReport};
use super::first::weights;
use super::place::{Inputs, Place};
use meridian_filter_core::decision::{Decision, Met};
use meridian_planner::intent::Action;
use meridian_policy::filter_policy::{Lane, ModelRule};

/// Where a decision leads.
pub fn routed(
    inputs: Inputs<'_>,
    rule: Option<&ModelRule>,
    place: &Place<'_>,
    (decision, decided): (&Decision, &Decided),
) -> Routed {
    let members = place.chain(decision.lane, decided.first.as_ref());
    let chain: Vec<MemberReport> = members
        .iter()
        .map(|member| place.member(member, rule))
        .collect();
    let serving = chain.iter().find(|member| member.passed_over.is_none());
    let limits = inputs
        .topology
        .limits_of(&decision.caller.zone, &decision.model);
    Routed {
        lane: decision.lane,
        first: serving.map(|it| it.member.clone()),
        share: rule.and_then(|rule| share(inputs, rule, decision)),
        fresh: decision.fresh.map(|met| {
            let met = match met {
                Met::Yes => "yes",
                Met::No => "no region that may serve it has fresh data",
                Met::Unknown => "how old the data is, is not known",
            };
            met.to_owned()
        }),
        continues: decision.continues.map(str::to_owned),
        chain,
        limits: LimitsReport {
            per_try_timeout_ms: decision.per_try_timeout_ms,
            answer_s: limits.answer.as_secs_f64(),
            body: limits.body,
        },
    }
}

/// What the share is made of.
fn share(inputs: Inputs<'_>, rule: &ModelRule, decision: &Decision) -> Option<ShareReport> {
    let split = rule.split.as_ref()?;
    let others = weights(rule, Lane::Overflow).into_iter();
    let intents = inputs.report.intents.active(inputs.report.at);
    let intents = intents.filter(|(_, intent)| match &intent.action {
        Action::Override {
            gateway,
            zone,
            model,
            ..
        } => {
            (gateway, zone, model)
                == (
                    &inputs.policy.region,
                    &decision.caller.zone,
                    &decision.model,
                )
        }
        Action::Drain { .. } => false,
        Action::Freeze {} => true,
    });
    Some(ShareReport {
        region: split.first.clone(),
        planned: split.home_share,
        floor: split.floor.min(split.home_share),
        fixed: split.fixed,
        drained: split.drains,
        others: others
            .map(|(region, part)| (region.clone(), part))
            .collect(),
        intents: intents
            .map(|(number, intent)| {
                format!("{number}: {}, {}: {}", intent.action, intent.by, intent.why)
            })
            .collect(),
    })
}
