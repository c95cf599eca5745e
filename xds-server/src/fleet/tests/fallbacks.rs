//! Hosted providers: what each needs, and what it cannot promise.

use super::{check, edited};
use crate::fleet::parse;
use meridian_policy::claude::Claude;
use meridian_policy::egress::Provider;

const COMPATIBLE: &str =
    "provider: openai-compatible, url: \"https://api.example.com/v1/\", jurisdiction: [global]";

#[test]
fn anthropic_needs_a_model_and_knows_its_own_address() {
    let text = edited(
        COMPATIBLE,
        "provider: anthropic, model: claude-x, jurisdiction: [global]",
    );
    let claude = &parse(&text).unwrap().fallbacks["claude"];
    let expect = Claude {
        model: "claude-x".into(),
        max_tokens: 4096,
        inference_geo: None,
    };
    assert_eq!(claude.provider, Provider::Anthropic(expect));
    assert_eq!(
        (
            claude.endpoint.host.as_str(),
            claude.endpoint.port,
            claude.endpoint.path.as_str()
        ),
        ("api.anthropic.com", 443, "/v1")
    );
    let in_the_us = edited(
        COMPATIBLE,
        "provider: anthropic, model: claude-x, max_tokens: 9, jurisdiction: [us]",
    );
    let expect = Claude {
        model: "claude-x".into(),
        max_tokens: 9,
        inference_geo: Some("us".into()),
    };
    let claude = &parse(&in_the_us).unwrap().fallbacks["claude"];
    assert_eq!(claude.provider, Provider::Anthropic(expect));
    for (fields, at, says) in [
        (
            "jurisdiction: [global]",
            "fallbacks.claude.model",
            "claude-sonnet-5",
        ),
        (
            "model: \"\", jurisdiction: [global]",
            "fallbacks.claude.model",
            "claude-sonnet-5",
        ),
        (
            "model: m, max_tokens: 0, jurisdiction: [global]",
            "fallbacks.claude.max_tokens",
            "no answer has a word",
        ),
    ] {
        check(
            &edited(COMPATIBLE, &format!("provider: anthropic, {fields}")),
            &[(at, says)],
        );
    }
}

#[test]
fn anthropic_s_own_api_is_nowhere_in_the_eu() {
    let claude_eu =
        "provider: openai-compatible, url: \"https://eu.example.com/v1\", jurisdiction: [eea]";
    check(
        &edited(
            claude_eu,
            "provider: anthropic, model: claude-x, jurisdiction: [eea]",
        ),
        &[(
            "fallbacks.claude-eu.jurisdiction[0]",
            "it runs in the US (`us`) or anywhere (`global`)",
        )],
    );
    check(
        &edited(
            claude_eu,
            "provider: anthropic, model: claude-x, jurisdiction: [us]",
        ),
        &[("zones.eea.fallbacks[0]", "this pinned zone accepts")],
    );
}

#[test]
fn who_is_asked_what_the_caller_asks_has_no_model() {
    check(
        &edited(
            COMPATIBLE,
            &format!("model: m, max_tokens: 5, {COMPATIBLE}"),
        ),
        &[
            ("fallbacks.claude.model", "is for `provider: anthropic`"),
            (
                "fallbacks.claude.max_tokens",
                "is for `provider: anthropic`",
            ),
        ],
    );
    check(
        &edited(
            COMPATIBLE,
            "provider: openai-compatible, jurisdiction: [global]",
        ),
        &[("fallbacks.claude.url", "the API's base URL")],
    );
}
