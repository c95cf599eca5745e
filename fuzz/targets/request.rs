//! Chats and messages on their way to Claude: whatever is not refused is a request that says all it has to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meridian_filter_core::claude::{Api, Ask};
use meridian_policy::egress_policy::{Claude, ClaudeHost};
use serde_json::Value;

/// Checks what a request becomes, if it is not refused.
fn sent(ask: Ask<'_>, body: &[u8]) {
    let claude = ask.claude;
    let request = match ask.translate(body.to_vec()) {
        Ok((request, _)) => request,
        Err(refused) => {
            let answer = refused.answer(ask.api.shape());
            assert!(answer["error"]["message"].is_string());
            return;
        }
    };
    assert!(request.path.starts_with("/v1/"));
    let body: Value = serde_json::from_str(&request.body).expect("a body is JSON");
    let in_body = body["model"] == claude.model.as_str();
    assert_eq!(
        in_body,
        claude.host == ClaudeHost::Anthropic || ask.api == Api::CountTokens
    );
    assert_eq!(
        body["inference_geo"].as_str(),
        claude.inference_geo.as_deref()
    );
    if !ask.api.is_native() {
        let turns = body["messages"].as_array().expect("there are turns");
        let mut roles = turns.iter().map(|turn| turn["role"].as_str());
        assert!(roles.all(|role| matches!(role, Some("user" | "assistant"))));
        assert!(turns.windows(2).all(|two| two[0]["role"] != two[1]["role"]));
        assert!(body["max_tokens"].as_u64().is_some_and(|tokens| tokens > 0));
    }
}

fuzz_target!(|body: &[u8]| {
    let fallback = "claude".parse().expect("it is a name");
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
            max_body: None,
        };
        for api in [Api::Chat, Api::Messages, Api::CountTokens] {
            let ask = Ask {
                api,
                version: None,
                betas: "",
                claude: &claude,
                fallback: &fallback,
            };
            if host != ClaudeHost::Bedrock || api != Api::CountTokens {
                sent(ask, body);
            }
        }
    }
});
