//! Chats and messages on their way to Claude: whatever is not refused is a request that says all it has to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meridian_filter_core::claude::{COUNT_TOKENS, MESSAGES, host_request, native, request};
use meridian_policy::api::Shape;
use meridian_policy::egress_policy::{Claude, ClaudeHost};
use serde_json::{Map, Value};

fn sent(claude: &Claude, body: Map<String, Value>, path: &str) {
    let addressed = host_request(claude, body, path, None);
    assert!(addressed.path.starts_with("/v1/"));
    let body: Value = serde_json::from_str(&addressed.body).expect("a body is JSON");
    let in_body = body["model"] == claude.model.as_str();
    assert_eq!(
        in_body,
        claude.host == ClaudeHost::Anthropic || path == COUNT_TOKENS
    );
    assert_eq!(
        body["inference_geo"].as_str(),
        claude.inference_geo.as_deref()
    );
}

fuzz_target!(|body: &[u8]| {
    for host in [
        ClaudeHost::Anthropic,
        ClaudeHost::Vertex,
        ClaudeHost::Bedrock,
    ] {
        let claude = Claude {
            host,
            model: "claude-x".into(),
            max_tokens: 4096,
            inference_geo: (host == ClaudeHost::Anthropic).then(|| "us".into()),
        };
        match request(body, &claude) {
            Ok(asked) => {
                let turns = asked.body["messages"].as_array().expect("there are turns");
                assert!(
                    turns
                        .iter()
                        .all(|turn| matches!(turn["role"].as_str(), Some("user" | "assistant")))
                );
                assert!(turns.windows(2).all(|two| two[0]["role"] != two[1]["role"]));
                assert!(
                    asked.body["max_tokens"]
                        .as_u64()
                        .is_some_and(|tokens| tokens > 0)
                );
                sent(&claude, asked.body, MESSAGES);
            }
            Err(refused) => {
                let answer = refused.answer(Shape::OpenAi);
                assert!(answer["error"]["message"].is_string());
            }
        }
        if let Ok(messages) = native(body) {
            sent(&claude, messages.clone(), MESSAGES);
            if host != ClaudeHost::Bedrock {
                sent(&claude, messages, COUNT_TOKENS);
            }
        }
    }
});
