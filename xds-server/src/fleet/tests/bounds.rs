//! Numbers and texts that are too large.

use super::{check, check_edit, edited, problems};
use crate::fleet::parse;
use crate::serve::{Publication, publication};
use meridian_planner::plan::Plan;
use meridian_policy::filter_policy::Lease;

const NEAREST: &str = "    nearest: [us-east-1, eu-west-1]\n";
const POOL: &str = "{ endpoints: [10.0.3.10:8000] }";
const EU: &str =
    "provider: openai-compatible, url: \"https://eu.example.com/v1\", jurisdiction: [eea]";
const ANTHROPIC: &str = "provider: anthropic, model: m, jurisdiction: [us]";

/// The example with weights of the zone `global`.
fn weighted(west: u32, east: u32) -> String {
    let to = format!("weights: {{ us-west-2: {west}, us-east-1: {east} }}, fallbacks: [claude] }}");
    edited("fallbacks: [claude] }", &to)
}

#[test]
fn weights_never_overflow_their_sum() {
    let at = "zones.global.weights.us-west-2";
    let says = "write 1000000 at most";
    check(&weighted(u32::MAX, 1), &[(at, says)]);
    check(&weighted(1_000_001, 1), &[(at, says)]);
    let fleet = parse(&weighted(1_000_000, 1_000_000)).unwrap();
    let lease = Lease {
        given: 0,
        runs_ms: 0,
    };
    publication(&fleet, &Plan::default(), lease, &Publication::new()).unwrap();
}

#[test]
fn numbers_have_a_bound() {
    let max = u32::MAX;
    let signal = format!(
        "{NEAREST}    signals: [{{ prometheus: \"http://10.0.1.10:8000/m\", preset: vllm, max_running: {max} }}]\n"
    );
    for (from, to, at) in [
        (
            "gw.us-east-1.example.com,",
            format!("gw.us-east-1.example.com, replicas: {max},"),
            "regions.us-east-1.gateway.replicas",
        ),
        (
            "connect: 1s",
            format!("retries: {max}"),
            "policy.limits.retries",
        ),
        (
            "connect: 1s",
            format!("prefill_rate: {max}"),
            "policy.limits.prefill_rate",
        ),
        (
            "misdirected: refuse",
            format!("limits: {{ prefill_rate: {max} }}"),
            "zones.eea.limits.prefill_rate",
        ),
        (
            "policy:\n",
            format!("policy:\n  unhealthy: {{ queue_depth: {max} }}\n"),
            "policy.unhealthy.queue_depth",
        ),
        (NEAREST, signal, "regions.us-west-2.signals[0].max_running"),
        (
            "  claude:    {",
            format!(
                "  claude:    {{ budget: {{ max_requests_per_minute: {} }},",
                u64::MAX
            ),
            "fallbacks.claude.budget.max_requests_per_minute",
        ),
    ] {
        check_edit(from, &to, at, "is too large; write");
    }
    let contexts = edited(POOL, "{ endpoints: [10.0.3.10:8000], context: 8192 }").replace(
        "[10.0.2.10:8000] }",
        &format!("[10.0.2.10:8000], context: {max} }}"),
    );
    let at = "regions.us-east-1.pools.llama-3.1-70b.context";
    check(&contexts, &[(at, "is too large")]);
    let tokens = edited(EU, &format!("{ANTHROPIC}, max_tokens: {max}"));
    let found = problems(&tokens);
    assert_eq!(found[0].at, "fallbacks.claude-eu.max_tokens");
    for price in ["1e308", "-1", ".inf", ".nan"] {
        let text = edited(
            "  us-west-2:\n",
            &format!("  us-west-2:\n    price: {price}\n"),
        )
        .replace("  us-east-1:\n", "  us-east-1:\n    price: 1\n")
        .replace("  eu-west-1:\n", "  eu-west-1:\n    price: 1\n");
        check(&text, &[("regions.us-west-2.price", "is not a price")]);
    }
    for scale in ["1e300", "1e-300", "0", "-1", ".inf", ".nan"] {
        let text = format!(
            "{NEAREST}    signals: [{{ prometheus: \"http://10.0.1.10/m\", metrics: {{ running: {{ name: a, scale: {scale} }} }} }}]\n"
        );
        let at = "regions.us-west-2.signals[0].metrics.running.scale";
        check_edit(NEAREST, &text, at, "is not a number above 0");
    }
}

#[test]
fn texts_have_a_bound_and_are_not_repeated_whole() {
    let long = "a".repeat(1 << 20);
    let signal = |fields: &str| {
        format!("{NEAREST}    signals: [{{ prometheus: \"http://10.0.1.10/m\", {fields} }}]\n")
    };
    for (from, to) in [
        ("X-Tenant-Zone", long.clone()),
        (
            "policy:\n",
            format!("policy:\n  needs: {{ header: {long} }}\n"),
        ),
        (
            "policy:\n",
            format!("policy:\n  batch: {{ keys: [{long}] }}\n"),
        ),
        (
            "policy:\n",
            format!("gateways: {{ wasm: /{long} }}\npolicy:\n"),
        ),
        (
            "policy:\n",
            format!("gateways: {{ trust_domain: {long} }}\npolicy:\n"),
        ),
        (
            "policy:\n",
            format!("models: {{ {long}: {{}} }}\npolicy:\n"),
        ),
        ("[preset:eea]", format!("[{long}]")),
        ("[preset:eea]", format!("[\"preset:{long}\"]")),
        ("  eea:", format!("  {long}:")),
        ("  us-west-2:\n", format!("  {long}:\n")),
        ("      mistral-7b:", format!("      {long}:")),
        ("  claude-eu:", format!("  {long}:")),
        ("unknown_zone: eea", format!("unknown_zone: {long}")),
        ("[claude-eu]", format!("[{long}]")),
        ("[eea]", format!("[{long}]")),
        ("{ env: CLAUDE_KEY }", format!("{{ env: {long} }}")),
        ("{ env: CLAUDE_KEY }", format!("{{ file: /{long} }}")),
        (
            "https://eu.example.com/v1",
            format!("https://eu.example.com/{long}"),
        ),
        ("gw.us-west-2.example.com", long.clone()),
        ("mistral.llm.svc:8000", format!("{long}:8000")),
        (
            POOL,
            format!(
                "{{ endpoints: [10.0.3.10:8000], health: /{} }}",
                &long[..60_000]
            ),
        ),
        ("misdirected: refuse", format!("{long}: refuse")),
        ("misdirected: refuse", format!("misdirected: {long}")),
        (
            NEAREST,
            signal(&format!("metrics: {{ running: {{ name: {long} }} }}")),
        ),
        (
            NEAREST,
            signal(&format!(
                "metrics: {{ running: {{ name: a, labels: {{ {long}: b }} }} }}"
            )),
        ),
        (
            NEAREST,
            signal(&format!(
                "metrics: {{ running: {{ name: a, labels: {{ b: {long} }} }} }}"
            )),
        ),
        (NEAREST, signal(&format!("queries: {{ running: {long} }}"))),
        (
            NEAREST,
            signal(&format!("queries: {{ running: a }}, tenant: {long}")),
        ),
        (NEAREST, signal(&format!("preset: vllm, token: /{long}"))),
        (
            NEAREST,
            format!(
                "{NEAREST}    signals: [{{ push: \"spiffe://meridian/{long}\", figures: [running] }}]\n"
            ),
        ),
        (
            EU,
            format!("provider: anthropic, model: {long}, jurisdiction: [us]"),
        ),
        (
            EU,
            format!(
                "provider: vertex, model: m, project: {long}, location: eu, jurisdiction: [eea]"
            ),
        ),
    ] {
        let Err(error) = parse(&edited(from, &to)) else {
            panic!("accepted in place of `{from}`");
        };
        let size = error.to_string().len();
        assert!(size < 20_000, "{size} bytes in place of `{from}`");
    }
    // The fix is at the end of a message, and is not cut off.
    for header in ["a".repeat(129), long] {
        let says = "use letters, digits and `-`, at most 128 characters";
        check_edit("X-Tenant-Zone", &header, "classify[0].header", says);
    }
    check(&edited("X-Tenant-Zone", &"a".repeat(128)), &[]);
}
