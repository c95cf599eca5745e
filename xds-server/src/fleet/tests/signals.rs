//! Signals and their thresholds.

use super::{EXAMPLE, check, check_edit};
use crate::fleet::parse;
use meridian_policy::source::{Preset, SignalFormat, Subject};
use std::collections::BTreeSet;
use std::time::Duration;

/// The example with these signals in us-west-2, and this under `policy`.
fn with(signals: &str, policy: &str) -> String {
    let with_signals = EXAMPLE.replacen(
        "    nearest: [us-east-1, eu-west-1]\n",
        &format!("    nearest: [us-east-1, eu-west-1]\n    signals: {signals}\n"),
        1,
    );
    assert_ne!(with_signals, EXAMPLE);
    with_signals.replacen("policy:\n", &format!("policy:\n{policy}"), 1)
}

fn check_signal(signal: &str, at: &str, says: &str) {
    let at = format!("regions.us-west-2.signals[0].{at}");
    check(&with(&format!("[{signal}]"), ""), &[(&at, says)]);
}

#[test]
fn what_is_left_out_has_the_field_s_usual_values() {
    let fleet = parse(&with(
        "[{ prometheus: http://10.0.1.10:8000/metrics, preset: vllm }]",
        "",
    ))
    .unwrap();
    let signal = &fleet.regions["us-west-2"].signals[0];
    assert_eq!(
        (&signal.format, signal.every),
        (&SignalFormat::Preset(Preset::Vllm), Duration::from_secs(2))
    );
    assert_eq!(signal.url, "http://10.0.1.10:8000/metrics");
    let (overflow, unhealthy) = (fleet.overflow, fleet.unhealthy);
    assert_eq!(
        (
            overflow.above,
            overflow.back_below,
            overflow.floor,
            overflow.gpu
        ),
        (0.80, 0.70, 0.10, false)
    );
    assert_eq!((fleet.failover.regions, overflow.regions), (4, 8));
    assert_eq!((unhealthy.queue_depth, unhealthy.error_rate), (100, 0.01));
    assert_eq!(unhealthy.first_token_p95, Duration::from_secs(3));
    assert_eq!(unhealthy.replication_lag, Duration::from_secs(30));
    assert_eq!(unhealthy.signal_ttl, Duration::from_secs(10));
}

#[test]
fn sources() {
    let url = "http://10.0.1.10:8000/metrics";
    check_signal(
        "{ prometheus: metrics, preset: vllm }",
        "prometheus",
        "write e.g. http://10.0.1.10:8000/metrics",
    );
    check_signal(
        "{ prometheus: ftp://a/metrics, preset: vllm }",
        "prometheus",
        "not the URL of a page",
    );
    check_signal(
        "{ prometheus: http://u:p@a/metrics, preset: vllm }",
        "prometheus",
        "credentials have no place",
    );
    check_signal(
        &format!("{{ prometheus: {url}, preset: dcgm, max_running: 4 }}"),
        "max_running",
        "inference servers only",
    );
    check_signal(
        &format!("{{ prometheus: {url}, preset: dcgm, model: mistral-7b }}"),
        "model",
        "inference servers only",
    );
    check_signal(
        &format!("{{ prometheus: {url}, preset: vllm, model: gpt }}"),
        "model",
        "there are: llama-3.1-70b, mistral-7b",
    );
    check_signal(
        &format!("{{ prometheus: {url}, preset: vllm, max_running: 0 }}"),
        "max_running",
        "--max-num-seqs",
    );
    check_signal(
        &format!("{{ prometheus: {url}, preset: vllm, every: 1ms }}"),
        "every",
        "at least 100ms",
    );
    check_signal(
        &format!("{{ prometheus: {url}, preset: vllm, every: 6s }}"),
        "every",
        "`policy.unhealthy.signal_ttl` is 10s",
    );
    for preset in ["tgi", "llamacpp"] {
        check_signal(
            &format!("{{ prometheus: {url}, preset: {preset} }}"),
            "model",
            "do not say which model they are about; write one of: llama-3.1-70b, mistral-7b",
        );
        let text = format!(
            "[{{ prometheus: {url}, preset: {preset}, model: mistral-7b, max_running: 8 }}]"
        );
        parse(&with(&text, "")).unwrap();
    }
    check_signal(
        "{ prometheus: http://a/metrics, preset: vllm, token: /run/secrets/a }",
        "token",
        "in the clear",
    );
    check_signal(
        "{ prometheus: https://a/metrics, preset: vllm, token: secrets/a }",
        "token",
        "absolute path",
    );
    for fine in ["https://a/metrics", "http://127.0.0.1:9/metrics"] {
        let text = format!("[{{ prometheus: {fine}, preset: vllm, token: /run/secrets/a }}]");
        let fleet = parse(&with(&text, "")).unwrap();
        let token = fleet.regions["us-west-2"].signals[0].token.as_deref();
        assert_eq!(token, Some("/run/secrets/a"));
    }
    let twice =
        format!("[{{ prometheus: {url}, preset: vllm }}, {{ prometheus: {url}, preset: vllm }}]");
    check(
        &with(&twice, ""),
        &[("regions.us-west-2.signals[1].prometheus", "is read already")],
    );
    let error = parse(&with(
        "[{ prometheus: http://a/metrics, preset: ollama }]",
        "",
    ))
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("write one of: vllm, sglang, tgi, llamacpp, triton, dcgm, postgres, milvus"),
        "{error}"
    );
}

#[test]
fn limits() {
    for (policy, at, says) in [
        (
            "overflow: { above: 80 }",
            "policy.overflow.above",
            "80 is not above 0 and below 1",
        ),
        (
            "overflow: { floor: 0.0 }",
            "policy.overflow.floor",
            "is not above 0 and below 1",
        ),
        (
            "overflow: { above: .nan, back_below: 0.1 }",
            "policy.overflow.above",
            "NaN",
        ),
        (
            "overflow: { above: 0.8, back_below: 0.8 }",
            "policy.overflow.back_below",
            "load would come and go",
        ),
        (
            "overflow: { queue_wait: soon }",
            "policy.overflow.queue_wait",
            "write a duration",
        ),
        (
            "overflow: { regions: 0 }",
            "policy.overflow.regions",
            "0 regions can serve nobody; write 1 or more, e.g. 8",
        ),
        (
            "failover: { regions: 0 }",
            "policy.failover.regions",
            "0 regions can serve nobody; write 1 or more, e.g. 4",
        ),
        (
            "unhealthy: { error_rate: 1.0 }",
            "policy.unhealthy.error_rate",
            "is not above 0 and below 1",
        ),
        (
            "unhealthy: { first_token_p95: 3 }",
            "policy.unhealthy.first_token_p95",
            "write a duration",
        ),
        (
            "unhealthy: { signal_ttl: 0s }",
            "policy.unhealthy.signal_ttl",
            "not between 1ms",
        ),
    ] {
        check(&with("[]", &format!("  {policy}\n")), &[(at, says)]);
    }
    // Defaults adapt to given values.
    let fleet = parse(&with("[]", "  overflow: { above: 0.6 }\n")).unwrap();
    assert_eq!(fleet.overflow.back_below, 0.5);
    check_edit(
        "policy:",
        "policy:\n  unhealthy: { queue_depth: 7 }\n  overflow: { above: 2.0, back_below: 0.5 }",
        "policy.overflow.above",
        "is not above 0 and below 1",
    );
}

#[test]
fn metrics_and_queries() {
    let page = "prometheus: http://a/metrics";
    let prometheus = "prometheus: http://prometheus:9090";
    for (signal, at, says) in [
        (page.to_owned(), "", "exactly one of `preset`"),
        (
            format!("{page}, preset: vllm, metrics: {{ running: {{ name: mine }} }}"),
            "",
            "exactly one of `preset`",
        ),
        (
            format!("{page}, metrics: {{ running: {{ name: mine }} }}, tenant: a"),
            ".tenant",
            "with `queries` only",
        ),
        (
            format!("{page}, preset: vllm, model_label: model"),
            ".model_label",
            "a preset defines its label",
        ),
        (
            format!("{page}, model_label: \"my model\", metrics: {{ running: {{ name: mine }} }}"),
            ".model_label",
            "not a label's name",
        ),
        (
            format!("{page}, metrics: {{}}"),
            ".metrics",
            "at least one of: running, waiting, kv_cache, utilization",
        ),
        (
            format!("{page}, metrics: {{ running: {{ name: \"my metric\" }} }}"),
            ".metrics.running.name",
            "not a metric's name",
        ),
        (
            format!("{page}, metrics: {{ kv_cache: {{ name: mine, scale: 0 }} }}"),
            ".metrics.kv_cache.scale",
            "0.01 for a percentage",
        ),
        (
            format!("{page}, metrics: {{ running: {{ name: mine, labels: {{ \"1\": x }} }} }}"),
            ".metrics.running.labels",
            "not a label's name",
        ),
        (
            format!("{page}, metrics: {{ failures: {{ name: mine }} }}"),
            ".metrics.failures",
            "needs the number of all `answers`",
        ),
        (
            format!("{prometheus}, queries: {{ running: \" \" }}"),
            ".queries.running",
            "write PromQL",
        ),
        (
            format!("{prometheus}, tenant: \"a b\", queries: {{ running: mine }}"),
            ".tenant",
            "not a tenant",
        ),
        (
            format!("{prometheus}, max_running: 8, queries: {{ replication_lag: mine }}"),
            ".max_running",
            "inference servers only",
        ),
        (
            format!("{prometheus}, model: gpt, queries: {{ running: mine }}"),
            ".model",
            "there are: llama-3.1-70b, mistral-7b",
        ),
        (
            format!("{prometheus}, token: /run/secrets/a, queries: {{ running: mine }}"),
            ".token",
            "in the clear",
        ),
    ] {
        let at = format!("regions.us-west-2.signals[0]{at}");
        check(&with(&format!("[{{ {signal} }}]"), ""), &[(&at, says)]);
    }
    let twice = format!("{{ {prometheus}, queries: {{ running: mine }} }}");
    check(
        &with(&format!("[{twice}, {twice}]"), ""),
        &[(
            "regions.us-west-2.signals[1].prometheus",
            "is read already for these figures",
        )],
    );
    let error = parse(&with(
        &format!("[{{ {prometheus}, queries: {{ load: mine }} }}]"),
        "",
    ));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("load") && error.contains("kv_cache"),
        "{error}"
    );
}

#[test]
fn a_prometheus_may_be_asked_for_each_model_and_for_the_store() {
    let prometheus = "prometheus: \"https://mimir.example.com/prometheus\", token: /run/secrets/mimir, tenant: team-a";
    let text = format!(
        "[{{ {prometheus}, model: mistral-7b, queries: {{ running: a }} }},
          {{ {prometheus}, model_label: served, queries: {{ running: b, gpu_busy: c }} }},
          {{ {prometheus}, queries: {{ replication_lag: d }} }},
          {{ prometheus: http://a/metrics, metrics: {{ gpu_active: {{ name: x, labels: {{ a: b }}, scale: 0.01 }} }} }}]"
    );
    let fleet = parse(&with(&text, "")).unwrap();
    let signals = &fleet.regions["us-west-2"].signals;
    let subjects: Vec<Subject> = signals.iter().map(|signal| signal.subject()).collect();
    assert_eq!(
        subjects,
        [
            Subject::Servers,
            Subject::Servers,
            Subject::Store,
            Subject::Gpus
        ]
    );
    let SignalFormat::Queries {
        model_label,
        tenant,
        ..
    } = &signals[1].format
    else {
        panic!("{:?}", signals[1]);
    };
    assert_eq!(
        (model_label.as_str(), tenant.as_deref()),
        ("served", Some("team-a"))
    );
    let keys: BTreeSet<String> = signals.iter().map(|signal| signal.key()).collect();
    assert_eq!(keys.len(), 4);
}

#[test]
fn pushes() {
    let push = "push: spiffe://meridian/source/loads";
    let prometheus = "prometheus: http://a/metrics";
    for (signal, at, says) in [
        ("every: 2s".to_owned(), "", "exactly one of `prometheus`"),
        (
            format!("{push}, {prometheus}, figures: [running]"),
            "",
            "exactly one of `prometheus`",
        ),
        (
            push.to_owned(),
            ".figures",
            "list what it may push, of: running",
        ),
        (
            format!("{push}, figures: [failures]"),
            ".figures",
            "needs the number of all `answers`",
        ),
        (
            format!("{push}, figures: [running], token: /run/secrets/a"),
            ".token",
            "a source that pushes",
        ),
        (
            format!("{push}, figures: [running], model: gpt"),
            ".model",
            "there are: llama-3.1-70b, mistral-7b",
        ),
        (
            format!("{push}, figures: [running], every: 6s"),
            ".every",
            "`policy.unhealthy.signal_ttl` is 10s",
        ),
        (
            format!("{prometheus}, preset: vllm, figures: [running]"),
            ".figures",
            "belongs to `push`",
        ),
        (
            "push: loads, figures: [running]".to_owned(),
            ".push",
            "write e.g. spiffe://meridian/source/loads",
        ),
        (
            "push: spiffe://elsewhere/source/loads, figures: [running]".to_owned(),
            ".push",
            "of the trust domain",
        ),
    ] {
        let at = format!("regions.us-west-2.signals[0]{at}");
        check(&with(&format!("[{{ {signal} }}]"), ""), &[(&at, says)]);
    }
    let entry = |figure: &str| format!("{{ {push}, figures: [{figure}] }}");
    check(
        &with(&format!("[{}, {}]", entry("running"), entry("waiting")), ""),
        &[("regions.us-west-2.signals[1].push", "may push already")],
    );
    let fleet = parse(&with(&format!("[{}]", entry("gpu_busy, running")), "")).unwrap();
    let signal = &fleet.regions["us-west-2"].signals[0];
    assert_eq!(signal.subject(), Subject::Servers);
    assert_eq!(signal.key(), "push spiffe://meridian/source/loads");
}

#[test]
fn tls_with_sources() {
    let of =
        |url: &str, tls: &str| format!("{{ prometheus: {url}, preset: vllm, tls: {{ {tls} }} }}");
    let https = "https://a/metrics";
    check_signal(&of("http://a/metrics", "ca: /a"), "tls", "write https://");
    check_signal(&of(https, "ca: a"), "tls.ca", "absolute path");
    check_signal(&of(https, "certificate: /a"), "tls", "together, or neither");
    check_signal(
        &of(https, "certificate: a, key: /b"),
        "tls.certificate",
        "absolute path",
    );
    let push = "{ push: spiffe://meridian/source/loads, figures: [running], tls: { ca: /a } }";
    check_signal(push, "tls", "a source that pushes");
    let text = format!("[{}]", of(https, "ca: /a, certificate: /b, key: /c"));
    let fleet = parse(&with(&text, "")).unwrap();
    let tls = fleet.regions["us-west-2"].signals[0].tls.clone().unwrap();
    assert_eq!(tls.ca.as_deref(), Some("/a"));
    assert_eq!(tls.identity.unwrap().key, "/c");
}
