//! Vector databases.

use super::{check, edited};
use crate::fleet::parse;
use meridian_policy::retrieval::{Role, VectorDb};

/// The example with a database in each region: the primary in us-east-1.
fn with_databases(west: &str, east: &str, europe: &str) -> String {
    let lag = |page: &str| {
        format!(
            "    signals: [{{ prometheus: \"http://{page}:9187/metrics\", preset: postgres }}]\n"
        )
    };
    let west = format!(
        "{}    vector_db: {{ endpoint: \"10.0.1.20:19530\", listen: \"10.0.1.1:19530\", role: replica{west} }}\n",
        lag("10.0.1.20")
    );
    let east = format!(
        "    vector_db: {{ endpoint: \"10.0.2.20:19530\", listen: \"0.0.0.0:19530\", role: primary{east} }}\n"
    );
    let europe = format!(
        "    vector_db: {{ endpoint: \"milvus.db.svc:19530\", listen: \"0.0.0.0:19530\", role: replica{europe} }}\n"
    );
    let mut text = edited("  us-east-1:\n", &format!("{west}  us-east-1:\n"));
    text = text.replacen("  eu-west-1:\n", &format!("{east}  eu-west-1:\n"), 1);
    text.replacen(
        "fallbacks:\n  claude:",
        &format!("{europe}fallbacks:\n  claude:"),
        1,
    )
}

#[test]
fn a_database_is_read() {
    let text = with_databases("", ", gateway_port: 9444", "");
    let at = "10.0.2.20:19530\", listen: \"";
    let text = text.replace(&format!("{at}0.0.0.0:19530"), &format!("{at}10.0.2.1:5432"));
    let fleet = parse(&text).unwrap();
    let of = |region: &str| fleet.regions[region].vector_db.clone().unwrap();
    assert_eq!(
        of("us-west-2"),
        VectorDb {
            host: "10.0.1.20".into(),
            port: 19530,
            role: Role::Replica,
            listen: "10.0.1.1:19530".parse().unwrap(),
            gateway_port: 8444,
        }
    );
    let east = of("us-east-1");
    assert_eq!((east.role, east.gateway_port), (Role::Primary, 9444));
    assert_eq!(east.listen, "10.0.2.1:5432".parse().unwrap());
    let gateway = &fleet.regions["us-east-1"].gateway;
    assert_eq!(
        east.listen_for_gateways(gateway),
        "0.0.0.0:9444".parse().unwrap()
    );
    // A database alone in its zone needs no source of its lag.
    assert_eq!(of("eu-west-1").host, "milvus.db.svc");
}

#[test]
fn bad_values_are_named() {
    let text = with_databases("", "", "");
    let cases = [
        (
            "\"10.0.2.20:19530\"",
            "10.0.2.20",
            "endpoint",
            "no address of a database",
        ),
        (
            "\"10.0.2.20:19530\"",
            "\"0.0.0.0:19530\"",
            "endpoint",
            "no address of a database",
        ),
        (
            "listen: \"0.0.0.0:19530\", role: primary",
            "listen: here, role: primary",
            "listen",
            "is not `ip:port`",
        ),
        (
            "listen: \"0.0.0.0:19530\", role: primary",
            "role: primary",
            "listen",
            "is required: whoever reaches this address reads the database; write an `ip:port`",
        ),
        (
            "role: primary",
            "role: primary, gateway_port: 0",
            "gateway_port",
            "port 0 cannot",
        ),
    ];
    for (from, to, field, says) in cases {
        let at = format!("regions.us-east-1.vector_db.{field}");
        check(&text.replacen(from, to, 1), &[(&at, says)]);
    }
}

#[test]
fn a_replica_that_could_be_left_says_how_far_it_is_behind() {
    let text = with_databases("", "", "");
    check(
        &text.replace("preset: postgres", "preset: dcgm"),
        &[(
            "regions.us-west-2.vector_db.role",
            "it would never be left for us-east-1; add a source",
        )],
    );
}

#[test]
fn regions_that_stand_in_for_one_another_have_one_primary() {
    let text = with_databases("", "", "").replace("role: replica", "role: primary");
    check(
        &text,
        &[(
            "regions.us-west-2.vector_db.role",
            "`us-east-1` has a primary as well",
        )],
    );
}

#[test]
fn addresses_that_two_things_claim() {
    let endpoint = "regions.us-east-1.vector_db.endpoint";
    let text = with_databases("", "", "").replace("10.0.1.20", "203.0.113.20");
    for (taken, says) in [
        (
            "203.0.113.20:19530",
            "leads to `regions.us-west-2.vector_db.endpoint` already",
        ),
        (
            "10.0.2.10:8000",
            "leads to `regions.us-east-1.pools.llama-3.1-70b` already",
        ),
        (
            "gw.us-west-2.example.com:8443",
            "leads to `regions.us-west-2.gateway` already",
        ),
        (
            "127.0.0.1:19530",
            "the gateway itself listens there, by `vector_db.listen`",
        ),
    ] {
        let text = text.replacen("10.0.2.20:19530", taken, 1);
        // The message names the first place in the file too.
        let found: Vec<_> = super::problems(&text);
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let expected = format!("{endpoint}: ");
        assert!(
            found
                .iter()
                .any(|line| line.starts_with(&expected) && line.contains(says)),
            "{taken}: {found:#?}"
        );
    }
    // A loopback address on another port, and a local name that each region has.
    check(&text.replacen("10.0.2.20:19530", "127.0.0.1:19531", 1), &[]);
    // Two private networks may use the same address.
    check(
        &text
            .replacen("203.0.113.20:19530", "10.0.9.9:19530", 1)
            .replacen("10.0.2.20:19530", "10.0.9.9:19530", 1),
        &[],
    );
    check(
        &text.replacen("10.0.2.20:19530", "milvus.db.svc:19530", 1),
        &[],
    );
    let listen = "listen: \"0.0.0.0:19530\", role: primary";
    let taken = listen.replace("19530", "8080");
    check(
        &with_databases("", "", "").replacen(listen, &taken, 1),
        &[(
            "regions.us-east-1.vector_db.listen",
            "0.0.0.0:8080 is taken by `public.listen` of the same region",
        )],
    );
    check(
        &with_databases("", ", gateway_port: 8443", ""),
        &[(
            "regions.us-east-1.vector_db.gateway_port",
            "0.0.0.0:8443 is taken by `gateway.listen` of the same region",
        )],
    );
}
