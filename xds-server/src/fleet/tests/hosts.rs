//! Hosts that are something else than they seem to be.

use super::{check, check_edit, edited};
use crate::fleet::parse;
use crate::serve::{Publication, publication};
use meridian_planner::plan::Plan;
use meridian_policy::filter_policy::Lease;

const EU: &str = "provider: openai-compatible, url: \"https://eu.example.com/v1\", jurisdiction: [eea], api_key: { file: /run/secrets/claude-eu }";
const POOL: &str = "{ endpoints: [10.0.3.10:8000] }";
const AT_POOL: &str = "regions.eu-west-1.pools.llama-3.1-70b";
const NEAREST: &str = "    nearest: [us-east-1, eu-west-1]\n";

fn vertex(location: &str, url: &str) -> String {
    let fields = format!(
        "provider: vertex, project: p, model: m, location: {location}, url: \"{url}\", jurisdiction: [eea], api_key: {{ sds: /k }}"
    );
    edited(EU, &fields)
}

fn bedrock(url: &str) -> String {
    let fields = format!(
        "provider: bedrock, location: eu-central-1, model: anthropic.m, url: \"{url}\", jurisdiction: [eea], api_key: {{ file: /k }}"
    );
    edited(EU, &fields)
}

#[test]
fn a_dot_at_the_end_of_a_name_changes_nothing() {
    let text = edited("https://eu.example.com/v1", "https://EU.example.com./v1");
    let fleet = parse(&text).unwrap();
    assert_eq!(fleet.fallbacks["claude-eu"].endpoint.host, "eu.example.com");
    check_edit(
        "https://eu.example.com/v1",
        "https://api.example.com./v1",
        "fallbacks.claude-eu.url",
        "same host and port as the fallback `claude`",
    );
    check_edit(
        NEAREST,
        "    public: { url: \"https://us-east-1.llm.example.com.\" }\n",
        "regions.us-west-2.public.url",
        "https://us-east-1.llm.example.com is the URL of `regions.us-east-1` already",
    );
    check_edit(
        "https://eu.example.com/v1",
        "https://mistral.llm.svc.:8000/v1",
        "fallbacks.claude-eu.url",
        "leads back into the fleet",
    );
    check_edit(
        "https://eu.example.com/v1",
        "https://eu.example.com../v1",
        "fallbacks.claude-eu.url",
        "is not a DNS name",
    );
    let good = vertex(
        "europe-west1",
        "https://europe-west1-aiplatform.googleapis.com./v1",
    );
    check(&good, &[]);
    let foreign = vertex(
        "europe-west1",
        "https://us-east5-aiplatform.googleapis.com./v1",
    );
    check(
        &foreign,
        &[("fallbacks.claude-eu.url", "is not in the location")],
    );
}

#[test]
fn a_location_counts_in_its_own_place_of_a_host_only() {
    let (looks, elsewhere) = ("looks like a host of", "is not in the location");
    for (host, says) in [
        ("europe-west1-aiplatform.googleapis.com.evil.example", looks),
        ("aiplatform.googleapis.com.europe-west1.example", looks),
        ("x-europe-west1-aiplatform.googleapis.com", elsewhere),
        ("europe-west1.us-east5-aiplatform.googleapis.com", elsewhere),
        (
            "europe-west1-aiplatform.us-east5.rep.googleapis.com",
            elsewhere,
        ),
        ("aiplatform.us.rep.googleapis.com", elsewhere),
        ("europe-west1.googleapis.com", elsewhere),
        ("europe-west1-aiplatform.xgoogleapis.com", "unproven_host"),
    ] {
        let text = vertex("europe-west1", &format!("https://{host}/v1"));
        check(&text, &[("fallbacks.claude-eu.url", says)]);
    }
    for host in [
        "europe-west1-aiplatform.googleapis.com",
        "EUROPE-WEST1-aiplatform.googleapis.com",
        "aiplatform.europe-west1.rep.googleapis.com",
    ] {
        check(&vertex("europe-west1", &format!("https://{host}/v1")), &[]);
    }
    for (host, says) in [
        (
            "bedrock-runtime.eu-central-1.amazonaws.com.evil.example",
            looks,
        ),
        ("bedrock-runtime.eu-central-1.amazonaws.com.cn", looks),
        (
            "eu-central-1.bedrock-runtime.us-east-1.amazonaws.com",
            elsewhere,
        ),
        ("eu-central-1.amazonaws.com", elsewhere),
        (
            "eu-central-1.bedrock-runtime.us-east-1.vpce.amazonaws.com",
            elsewhere,
        ),
        ("bedrock.example.com", "unproven_host"),
    ] {
        let text = bedrock(&format!("https://{host}"));
        check(&text, &[("fallbacks.claude-eu.url", says)]);
    }
}

#[test]
fn the_public_host_of_a_provider_contradicts_a_jurisdiction() {
    for (host, says) in [
        (
            "us-east5-aiplatform.googleapis.com",
            "`us-east5` does not keep requests in `eea`",
        ),
        (
            "aiplatform.googleapis.com",
            "`global` does not keep requests in `eea`",
        ),
        (
            "bedrock-runtime.us-east-1.amazonaws.com",
            "`us-east-1` does not keep",
        ),
        ("api.openai.com", "in the US or anywhere, not in `eea`"),
        ("api.anthropic.com.", "in the US or anywhere, not in `eea`"),
        (
            "api.openai.com.example",
            "looks like a host of api.openai.com",
        ),
    ] {
        let url = format!("https://{host}/v1");
        check_edit(
            "https://eu.example.com/v1",
            &url,
            "fallbacks.claude-eu.url",
            says,
        );
    }
    for host in [
        "bedrock-runtime.eu-west-1.amazonaws.com",
        "eu.api.openai.com",
    ] {
        check(&edited("eu.example.com", host), &[]);
    }
    check(&edited("api.example.com", "api.openai.com"), &[]);
}

#[test]
fn a_host_is_written_as_it_is_used() {
    for (host, used) in [
        ("\u{435}u.example.com", "xn--u-itb.example.com"),
        ("\u{ff45}u.example.com", "eu.example.com"),
        ("%65u.example.com", "eu.example.com"),
        ("eu.ex\u{ad}ample.com", "eu.example.com"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
    ] {
        let url = format!("https://{host}/v1");
        let says = format!("leads to the host `{used}`, which it does not show");
        check_edit(
            "https://eu.example.com/v1",
            &url,
            "fallbacks.claude-eu.url",
            &says,
        );
    }
    for (host, used) in [
        ("\u{433}w.us-west-2.example.com", "in other characters"),
        ("%67w.us-west-2.example.com", "in other characters"),
        ("2130706433", "neither an IP address nor a DNS name"),
    ] {
        let at = "regions.us-west-2.gateway.address";
        check_edit("gw.us-west-2.example.com", &format!("\"{host}\""), at, used);
    }
    check_edit(
        "mistral.llm.svc:8000",
        "\"mistr\u{430}l.llm.svc:8000\"",
        "regions.us-west-2.pools.mistral-7b.dns",
        "in other characters",
    );
    let long = format!("https://eu.example.com/{}", "v".repeat(3000));
    check_edit(
        "https://eu.example.com/v1",
        &long,
        "fallbacks.claude-eu.url",
        "longer than 2048 bytes",
    );
}

#[test]
fn a_pool_is_no_provider() {
    for host in [
        "api.openai.com",
        "API.anthropic.com.",
        "us-east5-aiplatform.googleapis.com",
        "bedrock-runtime.us-east-1.amazonaws.com",
        "my.openai.azure.com",
    ] {
        let pool = format!("{{ dns: \"{host}:443\" }}");
        let says = "declare it under `fallbacks`";
        check_edit(POOL, &pool, &format!("{AT_POOL}.dns"), says);
        let at = "regions.eu-west-1.gateway.address";
        check_edit("gw.eu-west-1.example.com", host, at, says);
    }
    for host in [
        "llm-1.elb.eu-west-1.amazonaws.com",
        "ec2-3-1-1-1.eu-west-1.compute.amazonaws.com",
        "openai.llm.svc",
    ] {
        check(&edited(POOL, &format!("{{ dns: \"{host}:443\" }}")), &[]);
    }
}

#[test]
fn addresses_that_no_server_has() {
    for ip in [
        "0.0.0.0",
        "0.1.2.3",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "169.254.169.254",
        "::",
        "ff02::1",
        "fe80::1",
        "::ffff:0.0.0.0",
        "::ffff:224.0.0.1",
    ] {
        let host = if ip.contains(':') {
            format!("[{ip}]")
        } else {
            ip.to_owned()
        };
        let source = format!(
            "{NEAREST}    signals: [{{ prometheus: \"http://{host}/m\", preset: vllm }}]\n"
        );
        let database = format!(
            "{NEAREST}    vector_db: {{ listen: \"10.0.1.1:19530\", endpoint: \"{host}:19530\", role: primary }}\n"
        );
        for (from, to, at) in [
            (
                "10.0.3.10:8000",
                format!("\"{host}:8000\""),
                "regions.eu-west-1.pools.llama-3.1-70b.endpoints[0]",
            ),
            (
                "gw.eu-west-1.example.com",
                format!("\"{ip}\""),
                "regions.eu-west-1.gateway.address",
            ),
            (
                "https://eu.example.com/v1",
                format!("https://{host}/v1"),
                "fallbacks.claude-eu.url",
            ),
            (
                "https://us-east-1.llm.example.com",
                format!("\"https://{host}\""),
                "regions.us-east-1.public.url",
            ),
            (NEAREST, source, "regions.us-west-2.signals[0].prometheus"),
            (NEAREST, database, "regions.us-west-2.vector_db.endpoint"),
        ] {
            check_edit(from, &to, at, "");
        }
        if !["0.0.0.0", "::"].contains(&ip) {
            let listen = format!("{NEAREST}    public: {{ listen: \"{host}:8080\" }}\n");
            check_edit(
                NEAREST,
                &listen,
                "regions.us-west-2.public.listen",
                "a listener binds",
            );
        }
    }
}

#[test]
fn ipv6_is_as_good_as_ipv4() {
    for (from, to) in [
        ("https://eu.example.com/v1", "http://[::1]:8000"),
        ("https://eu.example.com/v1", "https://[2001:db8::1]"),
        (
            "https://eu.example.com/v1",
            "https://[2001:DB8:0::1]:8443/v1",
        ),
        ("10.0.3.10:8000", "\"[2001:db8::1]:8000\""),
        ("gw.eu-west-1.example.com", "\"2001:db8::1\""),
        (NEAREST, "    public: { listen: \"[::]:8080\" }\n"),
        (
            "https://us-east-1.llm.example.com",
            "\"https://[2001:db8::2]\"",
        ),
    ] {
        let fleet = parse(&edited(from, to)).unwrap();
        let lease = Lease {
            given: 0,
            runs_ms: 0,
        };
        publication(&fleet, &Plan::default(), lease, &Publication::new())
            .unwrap_or_else(|error| panic!("{to}: {error}"));
    }
}
