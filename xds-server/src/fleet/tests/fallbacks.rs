//! Hosted providers: their fields and jurisdictions.

use super::{check, edited, problems};
use crate::fleet::parse;
use meridian_planner::chain::gateways_of;
use meridian_policy::egress_policy::Provider;
use meridian_policy::egress_policy::{Budget, Price};
use meridian_policy::egress_policy::{Claude, ClaudeHost};
use meridian_policy::fleet::Secret;

const COMPATIBLE: &str =
    "provider: openai-compatible, url: \"https://api.example.com/v1/\", jurisdiction: [global]";

const EU: &str =
    "provider: openai-compatible, url: \"https://eu.example.com/v1\", jurisdiction: [eea]";

#[test]
fn anthropic_needs_a_model_and_knows_its_own_address() {
    let text = edited(
        COMPATIBLE,
        "provider: anthropic, model: claude-x, jurisdiction: [global]",
    );
    let claude = &parse(&text).unwrap().fallbacks["claude"];
    let expect = Claude {
        host: ClaudeHost::Anthropic,
        model: "claude-x".into(),
        max_tokens: 4096,
        inference_geo: None,
        max_body: None,
    };
    assert_eq!(claude.provider, Provider::Claude(expect));
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
        "provider: anthropic, model: claude-x, max_tokens: 9, body: 8MiB, jurisdiction: [us]",
    );
    let expect = Claude {
        host: ClaudeHost::Anthropic,
        model: "claude-x".into(),
        max_tokens: 9,
        inference_geo: Some("us".into()),
        max_body: Some(8 << 20),
    };
    let claude = &parse(&in_the_us).unwrap().fallbacks["claude"];
    assert_eq!(claude.provider, Provider::Claude(expect));
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
            "no response has a token",
        ),
        (
            "model: m, body: 33MiB, jurisdiction: [global]",
            "fallbacks.claude.body",
            "the provider takes 32MiB at most",
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
    check(
        &edited(
            EU,
            "provider: anthropic, model: claude-x, jurisdiction: [eea]",
        ),
        &[(
            "fallbacks.claude-eu.jurisdiction[0]",
            "it runs in the US (`us`) or anywhere (`global`)",
        )],
    );
    check(
        &edited(
            EU,
            "provider: anthropic, model: claude-x, jurisdiction: [us]",
        ),
        &[("zones.eea.fallbacks[0]", "this pinned zone accepts")],
    );
}

#[test]
fn an_openai_compatible_provider_may_have_names_of_its_own() {
    check(
        &edited(COMPATIBLE, &format!("max_tokens: 5, {COMPATIBLE}")),
        &[(
            "fallbacks.claude.max_tokens",
            "has no effect for this provider",
        )],
    );
    let named = "model: gpt-oss-120b, models: { llama-3.1-70b: meta/Llama-3.1 }";
    let text = edited(COMPATIBLE, &format!("{named}, {COMPATIBLE}"));
    let renames = &parse(&text).unwrap().fallbacks["claude"].renames;
    let of = |model| renames.of(model).map(|model| model.as_str());
    assert_eq!(of("llama-3.1-70b"), Some("meta/Llama-3.1"));
    assert_eq!(of("mistral"), Some("gpt-oss-120b"));
    for (named, at, says) in [
        (
            "models: { llama: x }",
            "fallbacks.claude.models.llama",
            "no region has a pool of this model; there are: llama-3.1-70b",
        ),
        (
            "model: \"a b\"",
            "fallbacks.claude.model",
            "is not a model's name",
        ),
        (
            "models: { llama-3.1-70b: \"\" }",
            "fallbacks.claude.models.llama-3.1-70b",
            "is not a model's name",
        ),
    ] {
        let text = edited(COMPATIBLE, &format!("{named}, {COMPATIBLE}"));
        check(&text, &[(at, says)]);
    }
    let claude = "provider: anthropic, model: claude-x, models: { llama-3.1-70b: x }, jurisdiction: [global]";
    check(
        &edited(COMPATIBLE, claude),
        &[("fallbacks.claude.models", "has no effect for this provider")],
    );
    check(
        &edited(
            COMPATIBLE,
            "provider: openai-compatible, jurisdiction: [global]",
        ),
        &[("fallbacks.claude.url", "the API's base URL")],
    );
}

#[test]
fn a_key_may_come_by_a_file_of_its_own() {
    let text = edited(
        "{ file: /run/secrets/claude-eu }",
        "{ sds: /run/secrets/claude-eu.yaml }",
    );
    let key = &parse(&text).unwrap().fallbacks["claude-eu"].api_key;
    assert_eq!(key, &Secret::Sds("/run/secrets/claude-eu.yaml".into()));
    for wrong in [
        "{ sds: claude-eu.yaml }",
        "{ sds: /a, file: /b }",
        "{ sds: [/a] }",
    ] {
        let text = edited("{ file: /run/secrets/claude-eu }", wrong);
        check(
            &text,
            &[("fallbacks.claude-eu.api_key", "never the key itself")],
        );
    }
}

const VERTEX: &str = "provider: vertex, project: p1, model: claude-x";

#[test]
fn vertex_is_where_its_location_is() {
    for (location, url, host, path) in [
        (
            "europe-west1",
            "",
            "europe-west1-aiplatform.googleapis.com",
            "/v1/projects/p1/locations/europe-west1",
        ),
        (
            "eu",
            "",
            "aiplatform.eu.rep.googleapis.com",
            "/v1/projects/p1/locations/eu",
        ),
        (
            "eu",
            ", url: \"http://127.0.0.1:9/v1\"",
            "127.0.0.1",
            "/v1/projects/p1/locations/eu",
        ),
    ] {
        let fields = format!("{VERTEX}, location: {location}{url}, jurisdiction: [eea]");
        let text = edited(EU, &fields);
        check(
            &text,
            &[("fallbacks.claude-eu.api_key", "lives for an hour")],
        );
        let by_sds = text.replace(
            "{ file: /run/secrets/claude-eu }",
            "{ sds: /run/secrets/claude-eu }",
        );
        let fleet = parse(&by_sds).unwrap();
        let fallback = &fleet.fallbacks["claude-eu"];
        assert_eq!(fallback.endpoint.host, host);
        assert_eq!(
            fallback.endpoint.path,
            format!("{path}/publishers/anthropic")
        );
    }
    for (location, jurisdiction, says) in [
        (
            "global",
            "eea",
            "the location `global` does not keep requests in `eea`; use eu,",
        ),
        (
            "global",
            "jp",
            "the location `global` does not keep requests in `jp`",
        ),
        (
            "europe-west2",
            "eea",
            "the location `europe-west2` does not keep requests in `eea`",
        ),
        (
            "europe-west6",
            "eea",
            "the location `europe-west6` does not keep requests in `eea`",
        ),
        (
            "us-east5",
            "eea",
            "the location `us-east5` does not keep requests in `eea`",
        ),
        (
            "europe-west1",
            "us",
            "the location `europe-west1` does not keep requests in `us`",
        ),
    ] {
        let fields = format!("{VERTEX}, location: {location}, jurisdiction: [{jurisdiction}]");
        let found = problems(&edited(EU, &fields));
        assert_eq!(found[0].at, "fallbacks.claude-eu.jurisdiction[0]");
        assert!(found[0].message.contains(says), "{}", found[0]);
    }
    for (fields, at) in [
        ("location: eu", "fallbacks.claude-eu.project"),
        ("project: p1", "fallbacks.claude-eu.location"),
        (
            "project: p1, location: eu, model: \"a/b\"",
            "fallbacks.claude-eu.model",
        ),
    ] {
        let model = if fields.contains("model") {
            ""
        } else {
            "model: m, "
        };
        let fields = format!("provider: vertex, {model}{fields}, jurisdiction: [eea]");
        let found = problems(&edited(EU, &fields));
        assert_eq!(found[0].at, at, "{found:?}");
    }
}

const BEDROCK: &str = "provider: bedrock, location: eu-central-1";

/// The EU's fallback, with these fields in addition to those that Bedrock needs.
fn bedrock(fields: &str) -> String {
    edited(EU, &format!("{BEDROCK}, {fields}"))
}

#[test]
fn bedrock_is_where_its_location_and_its_destinations_are() {
    for fields in [
        "model: \"anthropic.claude-x-v1:0\"",
        "model: eu.anthropic.claude-x, destinations: [eu-central-1, eu-north-1, eu-west-3]",
    ] {
        let fleet = parse(&bedrock(&format!("{fields}, jurisdiction: [eea]"))).unwrap();
        let endpoint = &fleet.fallbacks["claude-eu"].endpoint;
        assert_eq!(
            (endpoint.host.as_str(), endpoint.path.as_str()),
            ("bedrock-runtime.eu-central-1.amazonaws.com", "")
        );
    }
    let at = |field: &str| format!("fallbacks.claude-eu.{field}");
    for (fields, place, says) in [
        (
            "model: eu.anthropic.claude-x, jurisdiction: [eea]",
            "destinations",
            "the inference profile `eu.` sends requests on to other AWS regions; list them all",
        ),
        (
            "model: eu.anthropic.claude-x, destinations: [eu-west-1, eu-west-2], jurisdiction: [eea]",
            "jurisdiction[0]",
            "the location `eu-west-2` does not keep requests in `eea`",
        ),
        (
            "model: eu.anthropic.claude-x, destinations: [eu-central-2], jurisdiction: [eea]",
            "jurisdiction[0]",
            "the location `eu-central-2` does not keep requests in `eea`",
        ),
        (
            "model: global.anthropic.claude-x, jurisdiction: [eea]",
            "model",
            "a `global.` inference profile runs anywhere",
        ),
        (
            "model: global.anthropic.claude-x, destinations: [eu-west-1], jurisdiction: [eea]",
            "model",
            "a `global.` inference profile runs anywhere",
        ),
        (
            "model: anthropic.claude-x, destinations: [eu-west-1], jurisdiction: [eea]",
            "destinations",
            "it runs in `location`; remove it",
        ),
        (
            "model: \"arn:aws:bedrock:eu-west-1:1:application-inference-profile/anthropic.x\", jurisdiction: [eea]",
            "model",
            "is not the name of a Claude model",
        ),
        (
            "model: claude-x, jurisdiction: [eea]",
            "model",
            "write it as Bedrock does",
        ),
        (
            "model: anthropic.claude-x, project: p1, jurisdiction: [eea]",
            "project",
            "has no effect for this provider",
        ),
    ] {
        check(&bedrock(fields), &[(at(place).as_str(), says)]);
    }
    let elsewhere = bedrock("model: anthropic.claude-x, jurisdiction: [eea]")
        .replace("location: eu-central-1", "location: us-east-1");
    check(
        &elsewhere,
        &[(
            at("jurisdiction[0]").as_str(),
            "the location `us-east-1` does not keep requests in `eea`; use eu-central-1,",
        )],
    );
    for (url, fine) in [
        ("https://bedrock-runtime.us-east-1.amazonaws.com", false),
        (
            "https://vpce-1.bedrock-runtime.eu-central-1.vpce.amazonaws.com",
            true,
        ),
        (
            "https://bedrock-runtime-fips.eu-central-1.amazonaws.com",
            true,
        ),
        ("http://127.0.0.1:9", true),
    ] {
        let text = bedrock(&format!(
            "url: \"{url}\", model: anthropic.claude-x, jurisdiction: [eea]"
        ));
        let found = parse(&text)
            .err()
            .map_or(String::new(), |error| error.to_string());
        assert_eq!(found.is_empty(), fine, "{url}: {found}");
        assert!(
            fine || found.contains("is not in the location `eu-central-1`"),
            "{found}"
        );
    }
    // Without a jurisdiction requests may be processed anywhere.
    let global = format!("{BEDROCK}, model: global.anthropic.claude-x, jurisdiction: [global]");
    parse(&edited(COMPATIBLE, &global)).unwrap();
}

#[test]
fn a_budget_is_parted_and_needs_prices() {
    const ANTHROPIC: &str = "provider: anthropic, model: claude-x, jurisdiction: [global]";
    let fields = format!(
        "{ANTHROPIC}, budget: {{ max_requests_per_minute: 60, max_usd_per_hour: 2.5 }}, \
         price: {{ input: 3, output: 15, cache_read: 0.3 }}"
    );
    let fleet = parse(&edited(COMPATIBLE, &fields)).unwrap();
    let fallback = &fleet.fallbacks["claude"];
    let budget = Budget {
        requests: Some(60),
        nanousd: Some(2_500_000_000),
    };
    assert_eq!(fallback.budget, budget);
    let price = Price {
        input: 3000,
        cache_read: 300,
        cache_write: 6000,
        output: 15_000,
    };
    assert_eq!(fallback.price, Some(price));
    let gateways = gateways_of(&fleet, &"claude".parse().unwrap());
    assert_eq!(gateways, 3);
    let replicas = edited(
        "{ address: gw.us-west-2.example.com, port: 8443 }",
        "{ address: gw.us-west-2.example.com, port: 8443, replicas: 4 }",
    );
    assert_eq!(
        gateways_of(&parse(&replicas).unwrap(), &"claude".parse().unwrap()),
        6
    );
    check(
        &replicas.replace("replicas: 4", "replicas: 0"),
        &[("regions.us-west-2.gateway.replicas", "write how many")],
    );
    assert_eq!(gateways_of(&fleet, &"claude-eu".parse().unwrap()), 1);
    let at = |field: &str| format!("fallbacks.claude.{field}");
    let price = "price: { input: 3, output: 15 }";
    for (fields, place, says) in [
        (
            format!("{ANTHROPIC}, budget: {{ max_usd_per_hour: 1 }}"),
            "budget.max_usd_per_hour",
            "has no effect without prices",
        ),
        (
            format!("{ANTHROPIC}, {price}, budget: {{ max_usd_per_hour: 0 }}"),
            "budget.max_usd_per_hour",
            "must be more than 0",
        ),
        (
            format!("{ANTHROPIC}, {price}, budget: {{ max_usd_per_hour: .nan }}"),
            "budget.max_usd_per_hour",
            "must be more than 0",
        ),
        (
            format!("{ANTHROPIC}, budget: {{ max_requests_per_minute: 1 }}"),
            "budget.max_requests_per_minute",
            "is shared equally by 3 gateways, and leaves each without a request; write at least 3",
        ),
        (
            format!("{ANTHROPIC}, price: {{ input: -1, output: 15 }}"),
            "price.input",
            "dollars for a million tokens",
        ),
        (
            format!("{COMPATIBLE}, {price}"),
            "price",
            "has no effect for this provider",
        ),
        (
            format!("{COMPATIBLE}, budget: {{ max_usd_per_hour: 1 }}"),
            "budget.max_usd_per_hour",
            "use `max_requests_per_minute`",
        ),
    ] {
        let found = problems(&edited(COMPATIBLE, &fields));
        assert_eq!(found[0].at, at(place), "{found:?}");
        assert!(found[0].message.contains(says), "{}", found[0]);
    }
}
