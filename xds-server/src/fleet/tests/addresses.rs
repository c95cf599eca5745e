//! Conflicts of addresses.

use super::{check, check_edit, edited};
use crate::serve::{Publication, publication};
use meridian_planner::plan::Plan;
use meridian_policy::filter_policy::Lease;

#[test]
fn a_pool_is_not_its_own_gateway() {
    let at = "regions.us-east-1.pools.llama-3.1-70b.endpoints[0]";
    for (endpoint, listener) in [
        ("127.0.0.1:8080", "public.listen"),
        ("127.0.0.1:8443", "gateway.listen"),
        ("127.0.0.1:9901", "admin"),
    ] {
        let says = format!("own gateway, `regions.us-east-1.{listener}`");
        check(&edited("10.0.2.10:8000", endpoint), &[(at, &says)]);
    }
    let gateway =
        edited("gw.us-east-1.example.com", "10.0.2.1").replace("10.0.2.10:8000", "10.0.2.1:8443");
    check(
        &gateway,
        &[(at, "own gateway, `regions.us-east-1.gateway.address`")],
    );
    check(&edited("10.0.2.10:8000", "127.0.0.1:8000"), &[]);
}

#[test]
fn a_public_endpoint_is_in_one_region() {
    let public = |text: String| text.replace("10.0.3.10", "203.0.113.10");
    let at = "regions.us-east-1.pools.llama-3.1-70b.endpoints[0]";
    let says = "203.0.113.10:8000 is in `regions.eu-west-1.pools.llama-3.1-70b` already";
    let at_west = "regions.us-west-2.pools.llama-3.1-70b.endpoints[1]";
    for (from, to, at) in [
        ("10.0.2.10:8000", "203.0.113.10:8000", at),
        ("10.0.2.10:8000", "\"[::ffff:203.0.113.10]:8000\"", at),
        ("10.0.1.11:8000", "203.0.113.10:8000", at_west),
    ] {
        check(&public(edited(from, to)), &[(at, says)]);
    }
    let ipv6 = "\"[2001:db8::1]:8000\"";
    let twice = edited("10.0.2.10:8000", ipv6).replace("10.0.3.10:8000", ipv6);
    check(
        &twice,
        &[(at, "[2001:db8::1]:8000 is in `regions.eu-west-1")],
    );
    let port = edited("10.0.2.10:8000", "203.0.113.10:8001");
    check(&public(port), &[]);
    // Two private networks may use the same addresses.
    for private in [
        "10.0.0.5:8000",
        "172.16.0.5:8000",
        "192.168.0.5:8000",
        "100.64.0.5:8000",
        "\"[fd00::5]:8000\"",
    ] {
        let text = edited("10.0.2.10:8000", private).replace("10.0.3.10:8000", private);
        check(&text, &[]);
        let fleet = super::super::parse(&text).unwrap();
        let lease = Lease {
            given: 0,
            runs_ms: 0,
        };
        publication(&fleet, &Plan::default(), lease, &Publication::new()).unwrap();
    }
    // On each gateway's own machine.
    let loopback =
        edited("10.0.2.10:8000", "127.0.0.1:8000").replace("10.0.3.10:8000", "127.0.0.1:8000");
    check(&loopback, &[]);
    // One server, two models.
    let models = edited(
        "{ dns: mistral.llm.svc:8000 }",
        "{ endpoints: [10.0.1.10:8000] }",
    );
    check(&models, &[]);
    // Cluster-local names mean other hosts in each region.
    let dns = edited(
        "{ endpoints: [10.0.2.10:8000] }",
        "{ dns: mistral.llm.svc:8000 }",
    );
    check(&dns, &[]);
}

#[test]
fn a_region_has_its_own_gateway() {
    let at = "regions.us-east-1.gateway.address";
    let says = "is the gateway of `regions.eu-west-1` already";
    for same in [
        "gw.eu-west-1.example.com",
        "GW.eu-west-1.example.com",
        "gw.eu-west-1.example.com.",
    ] {
        check_edit("gw.us-east-1.example.com", same, at, says);
    }
    check(
        &edited(
            "gw.us-east-1.example.com, port: 8443",
            "gw.eu-west-1.example.com, port: 8444",
        ),
        &[],
    );
}

#[test]
fn a_region_has_its_own_url() {
    let text = edited(
        "    nearest: [us-east-1, eu-west-1]\n",
        "    public: { url: \"https://US-east-1.llm.example.com:443/\" }\n",
    );
    check(
        &text,
        &[(
            "regions.us-west-2.public.url",
            "https://us-east-1.llm.example.com is the URL of `regions.us-east-1` already",
        )],
    );
}

#[test]
fn a_fallback_does_not_lead_back_into_the_fleet() {
    for (url, place) in [
        (
            "https://gw.us-west-2.example.com:8443/v1",
            "`regions.us-west-2.gateway`",
        ),
        (
            "https://us-east-1.llm.example.com/v1",
            "`regions.us-east-1.public.url`",
        ),
        (
            "https://10.0.3.10:8000/v1",
            "`regions.eu-west-1.pools.llama-3.1-70b`",
        ),
        (
            "https://mistral.llm.svc:8000/v1",
            "`regions.us-west-2.pools.mistral-7b`",
        ),
        (
            "http://127.0.0.1:8080/v1",
            "`regions.eu-west-1.public.listen`",
        ),
        (
            "http://127.0.0.1:8443/v1",
            "`regions.eu-west-1.gateway.listen`",
        ),
        ("http://127.0.0.1:9901/v1", "`regions.eu-west-1.admin`"),
    ] {
        check_edit(
            "https://api.example.com/v1/",
            url,
            "fallbacks.claude.url",
            &format!("leads back into the fleet, to {place}"),
        );
    }
    let ipv6 = edited("https://us-east-1.llm.example.com", "\"https://[fd00::1]\"");
    let ipv6 = ipv6.replace("https://api.example.com/v1/", "https://[fd00:0::1]/v1");
    check(
        &ipv6,
        &[("fallbacks.claude.url", "`regions.us-east-1.public.url`")],
    );
    for url in [
        "https://us-east-1.llm.example.com:444/v1",
        "http://127.0.0.2:9901/v1",
    ] {
        check(&edited("https://api.example.com/v1/", url), &[]);
    }
}

#[test]
fn two_fallbacks_are_two_places() {
    check_edit(
        "https://eu.example.com/v1",
        "https://api.example.com/eu/v1",
        "fallbacks.claude-eu.url",
        "same host and port as the fallback `claude`",
    );
}
