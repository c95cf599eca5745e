//! What a gateway would do with a request, and why, before anybody sends it.
//!
//! The gateway's own code ([`meridian_filter_core`]) decides, by the policy that the gateway has accepted. What only the gateway knows, its
//! breakers and what it was refused lately, is taken as if all were well; [`Explanation::unless`] says what it would change.

mod decisions;
mod explanation;
mod fallback;
mod first;
mod members;
mod place;
mod policy;
mod request;
mod routed;
mod sources;
mod text;
mod unless;

pub use explanation::{
    Excluded, Explanation, Fate, Finding, LimitsReport, MemberReport, Outcome, PolicyReport,
    Routed, ShareReport, SourceReport, Unless, ZoneReport,
};
pub use place::Inputs;
pub use policy::router_policy;
pub use request::{BadRequest, ExplainRequest};
pub use text::text;

use decisions::{Assumption, Case, Decided, decision_of};
use members::bytes;
use meridian_filter_core::answer::Answer;
use meridian_filter_core::body;
use meridian_filter_core::classify::classify;
use meridian_filter_core::request::Head;
use meridian_filter_core::router::{Admission, Router};
use meridian_policy::chain::Member;
use meridian_policy::filter_policy::Lane;
use place::FallbackRequest;
use routed::routed;
use sources::{sources, zone};
use unless::unless;

/// Explains a request.
///
/// # Errors
/// The request contradicts itself or the fleet.
pub fn explain(inputs: Inputs<'_>, request: &ExplainRequest) -> Result<Explanation, BadRequest> {
    let sent = request.sent(inputs.policy)?;
    let body = request.body()?;
    let headers = sent.header_map();
    let head = Head {
        method: &request.method,
        path: &request.path,
        source: Some(sent.from),
        headers: &headers,
    };
    let caller = classify(inputs.policy, head.source, &headers);
    let mut explanation = Explanation {
        gateway: request.gateway.clone(),
        at: inputs.report.at,
        from: sent.from,
        policy: inputs.accepted.clone(),
        sources: sources(inputs.policy, &sent, caller.as_ref()),
        zone: caller.map(|caller| zone(inputs, caller)),
        outcomes: Vec::new(),
        unless: Vec::new(),
        excluded: Vec::new(),
    };
    let router = Router::new(inputs.policy.clone());
    let admitted = match router.admit(&head) {
        Admission::Answer(answer) => {
            explanation.outcomes = vec![answered(&answer, 100.0)];
            return Ok(explanation);
        }
        Admission::ReadBody(admitted) => admitted,
    };
    let longest = u64::from(inputs.topology.limits.body);
    if let Some(size) = request.body_size.filter(|size| *size > longest) {
        explanation.outcomes = vec![too_long(size, longest)];
        return Ok(explanation);
    }
    let case = Case {
        policy: inputs.policy,
        router: &router,
        admitted: &admitted,
        body: body.as_bytes(),
        has_conversation: request.session.is_some() || names_conversation(&body),
        request_id: request.request_id.as_deref(),
        now_ms: inputs.report.at.0,
    };
    let betas = sent.value("anthropic-beta");
    let version = sent.value("anthropic-version");
    let for_fallbacks = FallbackRequest {
        path: &request.path,
        version: version.as_deref(),
        betas: betas.as_deref().unwrap_or_default(),
        body: request.body.as_deref(),
    };
    decide(
        inputs,
        (request.body_size, for_fallbacks),
        &case,
        &mut explanation,
    );
    Ok(explanation)
}

/// Adds what becomes of an admitted request.
fn decide(
    inputs: Inputs<'_>,
    (size, request): (Option<u64>, FallbackRequest<'_>),
    case: &Case<'_>,
    explanation: &mut Explanation,
) {
    let tried = case.tried(Assumption::Nothing);
    let share = |decided: &Decided| f64::from(decided.requests) / f64::from(tried.requests) * 100.0;
    let outcomes = tried.decided.iter().map(|decided| match &decided.outcome {
        Ok(decision) => {
            let place = inputs.place(decision, request);
            let mut routed = routed(inputs, case.rule(decision), &place, (decision, decided));
            if let Some(size) = size {
                routed.limits.per_try_timeout_ms = case.per_try_timeout_ms(size, decision);
            }
            Outcome {
                percent: share(decided),
                decision: decided.header(),
                result: Fate::Routed(Box::new(routed)),
            }
        }
        Err(answer) => answered(answer, share(decided)),
    });
    explanation.outcomes = outcomes.collect();
    let decision = tried.decided.iter().find_map(|it| it.outcome.as_ref().ok());
    let Some((decision, rule)) = decision.and_then(|it| Some((it, case.rule(it)?))) else {
        return;
    };
    explanation.unless = unless(inputs, case, rule, &tried);
    let place = inputs.place(decision, request);
    let chain = place.chain(Lane::Home, None);
    let first = rule.regions.iter().map(ToString::to_string);
    let included = first.chain(chain.iter().map(Member::label));
    explanation.excluded = place.excluded(&included.collect());
}

/// Whether a body names a conversation, or is the beginning of one.
fn names_conversation(text: &str) -> bool {
    let facts = body::read(text.as_bytes());
    facts.is_ok_and(|facts| facts.affinity.is_some())
}

fn answered(answer: &Answer, percent: f64) -> Outcome {
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let message = body.pointer("/error/message").and_then(|it| it.as_str());
    Outcome {
        percent,
        decision: decision_of(answer),
        result: Fate::Answered {
            status: answer.status,
            message: message.unwrap_or(&answer.body).to_owned(),
        },
    }
}

fn too_long(size: u64, longest: u64) -> Outcome {
    Outcome {
        percent: 100.0,
        decision: String::new(),
        result: Fate::Answered {
            status: 413,
            message: format!(
                "A body of {} is longer than `policy.limits.body`, {}.",
                bytes(size),
                bytes(longest)
            ),
        },
    }
}

#[cfg(test)]
mod tests;
