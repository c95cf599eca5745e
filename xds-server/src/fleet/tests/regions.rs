//! Regions: listeners, gateways, neighbours and pools.

use super::super::parse;
use super::{EXAMPLE, check, check_edit, edited};

#[test]
fn pools() {
    let either = "exactly one of `endpoints` (a list of ip:port) and `dns`";
    let pool = "{ endpoints: [10.0.2.10:8000] }";
    let at = "regions.us-east-1.pools.llama-3.1-70b";
    for (instead, says) in [
        ("{}", either),
        ("{ endpoints: [] }", either),
        ("{ endpoints: [10.0.2.10:8000], dns: a.b:1 }", either),
    ] {
        check_edit(pool, instead, at, says);
    }
    check_edit(
        pool,
        "{ endpoints: [10.0.2.10:8000], keep_removed: false }",
        &format!("{at}.keep_removed"),
        "about pools with `dns`",
    );
    for (endpoint, says) in [
        ("10.0.2.10", "ip:port"),
        ("vllm:8000", "give a name under `dns`"),
        ("0.0.0.0:8000", "no address that can be reached"),
        ("10.0.2.10:0", "no address that can be reached"),
        ("10.0.2.10:70000", "ip:port"),
    ] {
        check_edit(
            "10.0.2.10:8000",
            endpoint,
            &format!("{at}.endpoints[0]"),
            says,
        );
    }
    check_edit(
        "10.0.2.10:8000",
        "10.0.2.10:8000, 10.0.2.10:8000",
        &format!("{at}.endpoints[1]"),
        "listed twice",
    );
    for dns in [
        "vllm",
        "vllm:0",
        "vllm:http",
        ":8000",
        "10.0.0.1:8000",
        "a..b:80",
        "a b:80",
    ] {
        check_edit(
            "mistral.llm.svc:8000",
            &format!("\"{dns}\""),
            "regions.us-west-2.pools.mistral-7b.dns",
            "is not `name:port`",
        );
    }
}

#[test]
fn health_checks_of_pools() {
    let pool = "{ endpoints: [10.0.2.10:8000] }";
    let with = |path: &str| format!("{{ endpoints: [10.0.2.10:8000], health: \"{path}\" }}");
    let at = "regions.us-east-1.pools.llama-3.1-70b.health";
    for path in [
        "",
        "health",
        "http://a/health",
        "/he alth",
        "/health#now",
        "*",
    ] {
        check_edit(pool, &with(path), at, "is not a path of HTTP");
    }
    for path in ["/health/ready", "/v2/health/ready?deep=1"] {
        let fleet = parse(&edited(pool, &with(path))).unwrap();
        let paths = &fleet.regions["us-east-1"].health_paths;
        assert_eq!(paths["llama-3.1-70b"], path);
    }
}

#[test]
fn models_that_statistics_cannot_tell_apart() {
    check_edit(
        "mistral-7b:  ",
        "llama-3_1-70b:",
        "regions.us-west-2.pools.llama-3_1-70b",
        "`llama-3_1-70b` and `llama-3.1-70b` would share their statistics",
    );
    let text = edited("mistral-7b:  ", "a/b:");
    let text = text.replace(
        "{ endpoints: [10.0.2.10:8000] }",
        "{ endpoints: [10.0.2.10:8000] }\n      a_b: { dns: a.b:1 }",
    );
    check(&text, &[("regions.us-west-2.pools.a/b", "`a/b` and `a_b`")]);
}

#[test]
fn neighbours() {
    for (nearest, at, says) in [
        (
            "[us-east-2]",
            "nearest[0]",
            "there are: eu-west-1, us-east-1, us-west-2",
        ),
        (
            "[us-east-1, us-west-2]",
            "nearest[1]",
            "not its own neighbour",
        ),
        ("[us-east-1, us-east-1]", "nearest[1]", "listed twice"),
    ] {
        check_edit(
            "[us-east-1, eu-west-1]",
            nearest,
            &format!("regions.us-west-2.{at}"),
            says,
        );
    }
}

#[test]
fn gateways() {
    let address = "regions.us-west-2.gateway.address";
    for (instead, says) in [
        ("0.0.0.0", "where a listener binds"),
        ("\"::\"", "where a listener binds"),
        ("gw.example.com:8443", "a port goes in a field of its own"),
        (
            "https://gw.example.com",
            "neither an IP address nor a DNS name",
        ),
        ("\"\"", "neither"),
        ("gw..example.com", "neither"),
        ("\"*.example.com\"", "neither"),
    ] {
        check_edit("gw.us-west-2.example.com", instead, address, says);
    }
    for instead in ["10.1.2.3", "\"fd00::1\"", "gw"] {
        check(&edited("gw.us-west-2.example.com", instead), &[]);
    }
    check_edit(
        "gw.us-west-2.example.com, port: 8443",
        "gw.us-west-2.example.com, port: 0",
        "regions.us-west-2.gateway.port",
        "port 0 cannot",
    );
    check_edit(
        "gw.us-west-2.example.com,",
        "gw.us-west-2.example.com, listen: 8443,",
        "regions.us-west-2.gateway.listen",
        "`ip:port`",
    );
}

#[test]
fn listeners() {
    let nearest = "    nearest: [us-east-1, eu-west-1]\n";
    for (line, at, says) in [
        ("admin: \"0.0.0.0:9901\"", "admin", "use a loopback address"),
        (
            "admin: \"10.0.0.1:9901\"",
            "admin",
            "use a loopback address",
        ),
        ("admin: \"[::]:9901\"", "admin", "use a loopback address"),
        ("admin: \"127.0.0.1:0\"", "admin", "port 0"),
        ("admin: \"9901\"", "admin", "`ip:port`"),
        (
            "public: { listen: \"0.0.0.0:0\" }",
            "public.listen",
            "port 0",
        ),
        (
            "public: { listen: \"localhost:80\" }",
            "public.listen",
            "`ip:port`",
        ),
        (
            "public: { tls: { certificate: c, key: /k } }",
            "public.tls.certificate",
            "begins with `/`",
        ),
        (
            "public: { listen: \"10.0.0.1:8443\" }",
            "gateway.listen",
            "taken by `public.listen`",
        ),
        (
            "public: { listen: \"127.0.0.1:9901\" }",
            "admin",
            "taken by `public.listen`",
        ),
        (
            "public: { listen: \"0.0.0.0:9901\" }",
            "admin",
            "taken by `public.listen`",
        ),
        (
            "admin: \"127.0.0.2:8443\"",
            "admin",
            "taken by `gateway.listen`",
        ),
    ] {
        check_edit(
            nearest,
            &format!("{nearest}    {line}\n"),
            &format!("regions.us-west-2.{at}"),
            says,
        );
    }
    for line in [
        "public: { listen: \"10.0.0.1:9901\" }",
        "admin: \"[::1]:8443\"",
        "admin: \"127.0.0.7:19000\"",
    ] {
        check(&edited(nearest, &format!("{nearest}    {line}\n")), &[]);
    }
}

/// The example with locations, and without neighbours.
fn located(west: &str) -> String {
    let dublin = "{ latitude: 53.3, longitude: -6.3 }";
    let virginia = "{ latitude: 38.9, longitude: -77.5 }";
    let places = [
        ("us-west-2", west),
        ("us-east-1", virginia),
        ("eu-west-1", dublin),
    ];
    let text = EXAMPLE
        .replace("    nearest: [us-east-1, eu-west-1]\n", "")
        .replace("    nearest: [eu-west-1]\n", "");
    places.iter().fold(text, |text, (region, place)| {
        text.replace(
            &format!("  {region}:\n"),
            &format!("  {region}:\n    location: {place}\n"),
        )
    })
}

#[test]
fn neighbours_follow_from_locations() {
    let nearest = |text: &str, region: &str| parse(text).unwrap().regions[region].nearest.clone();
    let oregon = located("{ latitude: 45.8, longitude: -119.7 }");
    assert_eq!(
        nearest(&oregon, "us-west-2"),
        ["us-east-1".parse().unwrap(), "eu-west-1".parse().unwrap()]
    );
    assert_eq!(
        nearest(&oregon, "us-east-1"),
        ["us-west-2".parse().unwrap(), "eu-west-1".parse().unwrap()]
    );
    // Listed neighbours come first.
    let said = oregon.replace("  us-west-2:\n", "  us-west-2:\n    nearest: [eu-west-1]\n");
    assert_eq!(
        nearest(&said, "us-west-2"),
        ["eu-west-1".parse().unwrap(), "us-east-1".parse().unwrap()]
    );
    let error = parse(&located("{ latitude: 145.8, longitude: .nan }"));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("regions.us-west-2.location.latitude: 145.8 is not between -90 and 90"),
        "{error}"
    );
    assert!(
        error.contains("regions.us-west-2.location.longitude"),
        "{error}"
    );
}

#[test]
fn round_trips_are_those_that_are_said_and_else_guessed() {
    let way = |text: &str, here: &str, there: &str| {
        let region = parse(text).unwrap().regions[here].clone();
        region.round_trips[there].as_millis()
    };
    let text = located("{ latitude: 45.8, longitude: -119.7 }");
    let guess = way(&text, "us-west-2", "us-east-1");
    assert!((50..80).contains(&guess), "{guess}");
    assert_eq!(way(&text, "us-east-1", "us-west-2"), guess);
    let says = |said: &str| {
        text.replace(
            "  us-west-2:\n",
            &format!("  us-west-2:\n    round_trips: {said}\n"),
        )
    };
    // A round-trip time counts in both directions, and for the order.
    let said = says("{ eu-west-1: 20ms }");
    assert_eq!(way(&said, "us-west-2", "eu-west-1"), 20);
    assert_eq!(way(&said, "eu-west-1", "us-west-2"), 20);
    assert_eq!(way(&said, "us-west-2", "us-east-1"), guess);
    let nearest = &parse(&said).unwrap().regions["us-west-2"].nearest;
    assert_eq!(nearest[0].as_str(), "eu-west-1");
    let nowhere = parse(EXAMPLE).unwrap();
    assert!(nowhere.regions["us-west-2"].round_trips.is_empty());

    for (said, at, problem) in [
        ("{ us-west-2: 1ms }", "us-west-2", "not its own neighbour"),
        ("{ us-east-9: 1ms }", "us-east-9", "there is no region"),
        ("{ us-east-1: 60 }", "us-east-1", "500ms"),
        ("{ us-east-1: 0ms }", "us-east-1", "0ms"),
    ] {
        let error = parse(&says(said)).unwrap_err().to_string();
        let at = format!("regions.us-west-2.round_trips.{at}: ");
        assert!(error.contains(&at) && error.contains(problem), "{error}");
    }
}
