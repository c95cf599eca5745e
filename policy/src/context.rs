//! Prompts that are too long for a server, and whether another one may take them.

use crate::chain::{Member, chain, overflow_chain};
use crate::fleet::Fleet;
use crate::name::{ModelName, RegionName, ZoneName};
use serde::Deserialize;
use std::collections::BTreeSet;

/// What servers say of a prompt that is longer than their context: vLLM and OpenAI, vLLM before it, Anthropic, Bedrock,
/// llama.cpp.
const TOO_LONG: [&str; 5] = [
    "maximum context length",
    "longer than the maximum model length",
    "prompt is too long",
    "Input is too long",
    "exceeds the available context size",
];

/// OpenAI's code for it. vLLM gives the status there.
const CODE: &str = "context_length_exceeded";

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorFields,
}

#[derive(Deserialize)]
struct ErrorFields {
    message: String,
    #[serde(default)]
    code: serde_json::Value,
}

/// Whether the body of a 400 says that the prompt is longer than the server's context.
pub fn is_too_long(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|ErrorBody { error }| {
        error.code.as_str() == Some(CODE)
            || TOO_LONG.iter().any(|said| error.message.contains(said))
    })
}

/// The members of a zone's chains for a model at the gateway of `home` that are followed by one with a larger context, both
/// as the fleet file says them.
pub fn outgrown(
    fleet: &Fleet,
    zone: &ZoneName,
    model: &ModelName,
    home: &RegionName,
) -> BTreeSet<String> {
    let first = chain(fleet, zone, model, home);
    let others = first.iter().filter_map(|member| match member {
        Member::Peer(to) => Some(overflow_chain(fleet, zone, model, home, to)),
        _ => None,
    });
    let mut outgrown = BTreeSet::new();
    for members in others.chain([first.clone()]) {
        for (place, member) in members.iter().enumerate() {
            let own = context(fleet, model, member);
            let larger = |other| own.is_some() && context(fleet, model, other) > own;
            if members[place + 1..].iter().any(larger) {
                outgrown.insert(member.answers_as());
            }
        }
    }
    outgrown
}

/// Tokens that a member takes, as far as that is known.
fn context(fleet: &Fleet, model: &ModelName, member: &Member) -> Option<u32> {
    match member {
        Member::Pool(region) | Member::Peer(region) => {
            fleet.regions.get(region)?.contexts.get(model).copied()
        }
        Member::Fallback(fallback) => fleet.fallbacks.get(fallback)?.context,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::GuardPolicy;
    use crate::tests::fleets::{LLAMA, MISTRAL, example};

    #[test]
    fn what_servers_say_of_long_prompts() {
        for (message, too_long) in [
            (
                "This model's maximum context length is 512 tokens. However, your prompt contains at least 513 input tokens, which exceeds this limit even without any output tokens.",
                true,
            ),
            (
                "The prompt (total length 600) is longer than the maximum model length of 512.",
                true,
            ),
            (
                "request (2004 tokens) exceeds the available context size (1024 tokens), try increasing it",
                true,
            ),
            ("prompt is too long: 200001 tokens > 200000 maximum", true),
            (
                "max_tokens=5000 cannot be greater than max_model_len=512. Please request fewer output tokens.",
                false,
            ),
            ("temperature must be non-negative, got -3.0.", false),
        ] {
            let body = serde_json::json!({ "error": { "message": message, "code": 400 } });
            assert_eq!(
                is_too_long(body.to_string().as_bytes()),
                too_long,
                "{message}"
            );
        }
        let by_code = r#"{"error":{"message":"no","type":"invalid_request_error","code":"context_length_exceeded"}}"#;
        assert!(is_too_long(by_code.as_bytes()));
        for body in [
            "",
            "maximum context length",
            r#"{"error":"maximum context length"}"#,
        ] {
            assert!(!is_too_long(body.as_bytes()), "{body}");
        }
    }

    /// Whether each member of us-west-2's chain sends a long prompt on.
    fn check(contexts: [Option<u32>; 4], sent_on: [bool; 4]) {
        let mut fleet = example();
        for (region, context) in ["us-west-2", "us-east-1", "eu-west-1"].iter().zip(contexts) {
            let region = fleet.regions.get_mut(*region).unwrap();
            region
                .contexts
                .extend(context.map(|context| (LLAMA.into(), context)));
        }
        fleet.fallbacks.get_mut("claude").unwrap().context = contexts[3];
        let policy = GuardPolicy::for_region(&fleet, &"us-west-2".into());
        let members = ["us-west-2", "us-east-1", "eu-west-1", "fallback/claude"];
        let found = members.map(|member| policy.may_fit_later("global", LLAMA, member));
        assert_eq!(found, sent_on, "{contexts:?}");
        assert!(
            !policy.may_fit_later("global", MISTRAL, "us-west-2"),
            "nothing is known of it"
        );
        assert!(!policy.may_fit_later("nowhere", LLAMA, "us-west-2"));
    }

    #[test]
    fn only_to_a_context_that_is_known_to_be_larger() {
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
        // us-east-1 may be asked first, by the overflow lane: then home comes after it.
        check(
            [Some(128), Some(32), Some(64), None],
            [false, true, true, false],
        );
    }
}
