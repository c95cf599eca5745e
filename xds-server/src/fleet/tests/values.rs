//! Single values that cannot be read: durations, sizes, networks, names, paths, secrets.

use super::super::parse;
use super::{check, check_edit, edited};
use std::time::Duration;

#[test]
fn limits() {
    for (from, to, at, says) in [
        ("connect: 1s", "connect: 1", "connect", "500ms, 10s or 5m"),
        (
            "connect: 1s",
            "connect: 0s",
            "connect",
            "between 1ms and 24h",
        ),
        (
            "answer: 600s",
            "answer: 25h",
            "answer",
            "between 1ms and 24h",
        ),
        ("connect: 1s", "connect: soon", "connect", "`soon`"),
        (
            "connect: 1s",
            "connect: 11s",
            "connect",
            "longer than `first_token` (10s)",
        ),
        (
            "connect: 1s",
            "connect: 1s, unstreamed: 500ms",
            "connect",
            "longer than `unstreamed` (500ms)",
        ),
        (
            "first_token: 10s",
            "first_token: 20m",
            "first_token",
            "20m is longer than `answer` (10m)",
        ),
        (
            "connect: 1s",
            "unstreamed: 601s",
            "unstreamed",
            "longer than `answer`",
        ),
        (
            "connect: 1s",
            "stream_idle_timeout: 601s",
            "stream_idle_timeout",
            "longer than `answer`",
        ),
        (
            "connect: 1s",
            "gap: 601s",
            "stream_idle_timeout",
            "longer than `answer`",
        ),
        (
            "connect: 1s",
            "least_rate: 1001",
            "least_rate",
            "write at most 1000, or 0",
        ),
        (
            "body: 64MiB",
            "body: 64 potatoes",
            "body",
            "512KiB or 64MiB",
        ),
        ("body: 64MiB", "body: 5GiB", "body", "between 1KiB and 1GiB"),
        ("body: 64MiB", "body: 1000", "body", "between 1KiB and 1GiB"),
        ("body: 64MiB", "body: -1", "body", "512KiB or 64MiB"),
    ] {
        check_edit(from, to, &format!("policy.limits.{at}"), says);
    }
}

#[test]
fn a_worker_has_room_for_the_largest_body() {
    let text = |body: &str, heap: &str| {
        let limits = edited("body: 64MiB", &format!("body: {body}"));
        limits.replace(
            "policy:\n",
            &format!("gateways: {{ heap: {heap} }}\npolicy:\n"),
        )
    };
    assert!(parse(&text("64MiB", "256MiB")).is_ok());
    check(
        &text("1GiB", "2GiB"),
        &[(
            "gateways.heap",
            "2.0 GiB is less than four times `policy.limits.body`, which is 1.0 GiB; use 4.0 GiB or more",
        )],
    );
}

#[test]
fn a_zone_has_its_own_depth_of_failover() {
    let zone = edited("misdirected: refuse", "failover: { regions: 2 }");
    let fleet = zone.replace("policy:\n", "policy:\n  failover: { regions: 3 }\n");
    let fleet = parse(&fleet).unwrap();
    assert_eq!(fleet.failover.regions, 3);
    let own = |zone: &str| fleet.zones[zone].failover.map(|failover| failover.regions);
    assert_eq!((own("eea"), own("global")), (Some(2), None));
}

#[test]
fn limits_of_zones_and_models() {
    for (limits, at, says) in [
        ("first_token: soon", "first_token", "`soon`"),
        (
            "first_token: 601s",
            "first_token",
            "longer than `policy.limits.answer` (10m)",
        ),
        (
            "unstreamed: 500ms",
            "unstreamed",
            "shorter than `policy.limits.connect` (1s)",
        ),
        (
            "prefill_rate: 0",
            "prefill_rate",
            "tokens per second, e.g. 2000",
        ),
    ] {
        let zone = format!("misdirected: refuse, limits: {{ {limits} }}");
        check_edit(
            "misdirected: refuse",
            &zone,
            &format!("zones.eea.limits.{at}"),
            says,
        );
        let model = format!("models: {{ mistral-7b: {{ limits: {{ {limits} }} }} }}\npolicy:");
        check_edit(
            "policy:",
            &model,
            &format!("models.mistral-7b.limits.{at}"),
            says,
        );
    }
    check_edit(
        "policy:",
        "models: { gpt-9: {} }\npolicy:",
        "models.gpt-9",
        "there are pools of: llama-3.1-70b, mistral-7b",
    );
    check_edit(
        "body: 64MiB",
        "retries: 0",
        "policy.limits.retries",
        "more than the concurrent requests of a gateway",
    );
    check_edit(
        "body: 64MiB",
        "prefill_rate: 0",
        "policy.limits.prefill_rate",
        "e.g. 2000",
    );
}

#[test]
fn contexts() {
    let pool = "{ dns: mistral.llm.svc:8000 }";
    let with = |context: &str| format!("{{ dns: mistral.llm.svc:8000, context: {context} }}");
    let at = "regions.us-west-2.pools.mistral-7b.context";
    check(
        &edited(pool, &with("0")),
        &[(at, "e.g. 131072"), (at, "nothing else has")],
    );
    check_edit(pool, &with("32768"), at, "nothing else has a `context`");
    let fallback = "api_key: { env: CLAUDE_KEY }";
    let with_fallback = format!("{fallback}, context: 200000");
    check_edit(
        fallback,
        &with_fallback,
        "fallbacks.claude.context",
        "nothing else has a `context`",
    );
    check(
        &edited(pool, &with("32768")).replacen(fallback, &with_fallback, 1),
        &[],
    );
}

#[test]
fn the_nearest_limit_counts() {
    let models =
        "models: { mistral-7b: { limits: { first_token: 4s, prefill_rate: 9000 } } }\npolicy:";
    let text = edited("policy:", models).replacen(
        "misdirected: refuse",
        "limits: { first_token: 20s, unstreamed: 90s }",
        1,
    );
    let fleet = parse(&text).unwrap();
    let limits = |zone: &str, model: &str| {
        let limits = fleet.limits_of(&zone.parse().unwrap(), &model.parse().unwrap());
        let seconds = |duration: Duration| duration.as_secs();
        (
            seconds(limits.first_token),
            seconds(limits.unstreamed),
            limits.prefill_rate,
        )
    };
    assert_eq!(limits("global", "llama-3.1-70b"), (10, 120, 2000));
    assert_eq!(limits("eea", "llama-3.1-70b"), (20, 90, 2000));
    assert_eq!(limits("global", "mistral-7b"), (4, 120, 9000));
    assert_eq!(limits("eea", "mistral-7b"), (4, 90, 9000));
}

#[test]
fn a_limit_that_cannot_be_read_is_one_problem() {
    check_edit(
        "answer: 600s",
        "answer: long",
        "policy.limits.answer",
        "`long`",
    );
    check_edit(
        "first_token: 10s",
        "first_token: 10",
        "policy.limits.first_token",
        "`10`",
    );
}

#[test]
fn sources() {
    for (from, to, at, says) in [
        (
            "[10.0.0.0/8] }",
            "[10.0.0.0/40] }",
            "classify[0].trust.cidr[0]",
            "e.g. 10.0.0.0/8",
        ),
        (
            "[10.0.0.0/8] }",
            "[10.0.0.0] }",
            "classify[0].trust.cidr[0]",
            "e.g. 10.0.0.0/8",
        ),
        (
            "127.0.0.0/8]",
            "edge]",
            "classify[1].trust.cidr[1]",
            "`edge` is not a network",
        ),
        (
            "[10.0.0.0/8] }",
            "[10.1.2.3/8] }",
            "classify[0].trust.cidr[0]",
            "write 10.0.0.0/8 for the network or 10.1.2.3/32",
        ),
        (
            "[10.0.0.0/8] }",
            "[0.0.0.0/0] }",
            "classify[0].trust.cidr[0]",
            "matches every address",
        ),
        (
            "[10.0.0.0/8] }",
            "[\"::/0\"] }",
            "classify[0].trust.cidr[0]",
            "matches every address",
        ),
        (
            "[10.0.0.0/8] }",
            "[\"::ffff:10.0.0.0/104\"] }",
            "classify[0].trust.cidr[0]",
            "write it as IPv4",
        ),
        (
            "[10.0.0.0/8] }",
            "[] }",
            "classify[0].trust.cidr",
            "list the networks",
        ),
        (
            "cf-ipcountry",
            "x-meridian-zone",
            "classify[1].header",
            "Meridian's own",
        ),
        (
            "cf-ipcountry",
            "X-Meridian-Country",
            "classify[1].header",
            "Meridian's own",
        ),
        (
            "cf-ipcountry",
            "\":path\"",
            "classify[1].header",
            "letters, digits and `-`",
        ),
        (
            "cf-ipcountry",
            "\"\"",
            "classify[1].header",
            "letters, digits and `-`",
        ),
        (
            "cf-ipcountry",
            "x-tenant-ZONE",
            "classify[1].header",
            "a source already",
        ),
    ] {
        check_edit(from, to, at, says);
    }
}

#[test]
fn names() {
    let long = "a".repeat(64);
    for name in [
        "Claude", "a_b", "-a", "a-", "a/b", "\"\"", "ä", "a.b", &long,
    ] {
        let text = edited("fallbacks: [claude] }", "fallbacks: [] }");
        let text = text.replacen("  claude:  ", &format!("  {name}: "), 1);
        let bare = name.trim_matches('"');
        check(
            &text,
            &[(&format!("fallbacks.{bare}"), "use a-z, 0-9 and inner `-`")],
        );
    }
    let long = "m".repeat(129);
    for name in ["\"\"", "a b", "modèle", "a*", &long] {
        let bare = name.trim_matches('"');
        check_edit(
            "mistral-7b:  ",
            &format!("{name}: "),
            &format!("regions.us-west-2.pools.{bare}"),
            "is not a model's name",
        );
    }
    for name in ["mistralai/Mistral-7B:instruct", "a@b+c", "A._-"] {
        check(&edited("mistral-7b:  ", &format!("\"{name}\": ")), &[]);
    }
}

#[test]
fn secrets() {
    let good = "{ env: CLAUDE_KEY }";
    let either = "exactly one of `env`";
    for (instead, says) in [
        ("{}", either),
        ("{ env: CLAUDE_KEY, file: /run/key }", either),
        ("{ env: CLAUDE_KEY, value: key }", either),
        ("CLAUDE_KEY", either),
        ("{ env: \"\" }", "name of an environment variable"),
        ("{ env: 7UP }", "name of an environment variable"),
        ("{ env: sk-ant-123 }", "never the key itself"),
        ("{ file: keys/claude }", "absolute path"),
    ] {
        check_edit(good, instead, "fallbacks.claude.api_key", says);
    }
}

#[test]
fn what_all_gateways_share() {
    for (gateways, at, says) in [
        (
            "{ wasm: meridian.wasm }",
            "gateways.wasm",
            "begins with `/`",
        ),
        (
            "{ access_log: \"\" }",
            "gateways.access_log",
            "begins with `/`",
        ),
        (
            "{ trust_domain: Example.com }",
            "gateways.trust_domain",
            "SPIFFE",
        ),
        ("{ trust_domain: \"\" }", "gateways.trust_domain", "SPIFFE"),
        ("{ trust_domain: a/b }", "gateways.trust_domain", "SPIFFE"),
        (
            "{ heap: 255MiB }",
            "gateways.heap",
            "between 256MiB and 1TiB",
        ),
    ] {
        check_edit(
            "policy:\n",
            &format!("gateways: {gateways}\npolicy:\n"),
            at,
            says,
        );
    }
    check(
        &edited(
            "address: gw.eu-west-1.example.com, port: 8443",
            "address: gw.eu-west-1.example.com, port: 8443, tls: { ca: ca.crt, certificate: /c, key: ./k }",
        ),
        &[
            ("regions.eu-west-1.gateway.tls.ca", "begins with `/`"),
            ("regions.eu-west-1.gateway.tls.key", "begins with `/`"),
        ],
    );
}

#[test]
fn limits_that_are_left_out_fit_those_that_are_given() {
    let limits = "limits: { first_token: 10s, connect: 1s, answer: 600s, body: 64MiB }";
    let limits = parse(&edited(limits, "limits: { answer: 500ms }"))
        .unwrap()
        .limits;
    let half = Duration::from_millis(500);
    assert_eq!(
        [
            limits.connect,
            limits.first_token,
            limits.unstreamed,
            limits.stream_idle_timeout
        ],
        [half; 4]
    );
}

#[test]
fn the_least_rate_can_be_switched_off() {
    for (text, rate) in [
        ("", Some(20)),
        (", least_rate: 100", Some(100)),
        (", least_rate: 0", None),
    ] {
        let fleet = parse(&edited("connect: 1s", &format!("connect: 1s{text}"))).unwrap();
        assert_eq!(fleet.limits.least_rate, rate, "{text}");
    }
}

#[test]
fn the_idle_timeout_of_streams_has_an_old_name() {
    for name in ["stream_idle_timeout", "gap"] {
        let limits = format!("connect: 1s, {name}: 7s");
        let fleet = parse(&edited("connect: 1s", &limits)).unwrap();
        assert_eq!(
            fleet.limits.stream_idle_timeout,
            Duration::from_secs(7),
            "{name}"
        );
    }
    let twice = edited("connect: 1s", "gap: 7s, stream_idle_timeout: 7s");
    let error = parse(&twice).unwrap_err().to_string();
    assert!(error.contains("`stream_idle_timeout`"), "{error}");
}

#[test]
fn the_header_by_which_callers_say_what_they_need() {
    for (name, says) in [
        ("x rag", "not a header's name"),
        ("x-meridian-zone", "one of Meridian's own"),
        ("CF-IPCountry", "tells callers' zones"),
    ] {
        let to = format!("policy:\n  needs: {{ header: {name} }}\n");
        check_edit("policy:\n", &to, "policy.needs.header", says);
    }
    let text = edited("policy:\n", "policy:\n  needs: { header: X-RAG }\n");
    let fleet = parse(&text).unwrap();
    assert_eq!(fleet.needs_header.as_deref(), Some("x-rag"));
}
