//! The configuration of the example fleet, as golden files: one per gateway and resource type.

use super::translate;
use envoy_types::pb::envoy::config::bootstrap::v3::bootstrap::StaticResources;
use meridian_planner::plan::Plan;
use meridian_policy::RegionName;
use serde_json::Value;

const EXAMPLE: &str = include_str!("../../../envoy/fleet.yaml");

fn resources(region: &str) -> Value {
    let fleet = crate::fleet::parse(EXAMPLE).unwrap();
    let snapshot = translate(
        &fleet,
        &Plan::default(),
        &region.parse::<RegionName>().unwrap(),
        None,
    );
    let message = StaticResources {
        listeners: snapshot.listeners,
        clusters: snapshot.clusters,
        secrets: snapshot.secrets,
    };
    meridian_proto::to_json(&message).unwrap()
}

/// Rewritten with `INSTA_UPDATE=always`.
fn golden(name: &str, resources: &Value) {
    insta::assert_snapshot!(name, serde_json::to_string_pretty(resources).unwrap());
}

/// The routes, taken out of the listeners to have golden files of their own.
fn take_routes(listeners: &mut Value) -> Vec<Value> {
    let managers = listeners.as_array_mut().unwrap().iter_mut();
    managers
        .filter_map(|listener| {
            let filter = &mut listener["filter_chains"][0]["filters"][0];
            let routes = filter["typed_config"].get_mut("route_config")?;
            Some(routes.take())
        })
        .collect()
}

#[test]
fn a_gateway_outside_the_pinned_zone() {
    let mut west = resources("us-west-2");
    let routes = take_routes(&mut west["listeners"]);
    golden("us-west-2.routes", &Value::Array(routes));
    golden("us-west-2.listeners", &west["listeners"]);
    golden("us-west-2.clusters", &west["clusters"]);
    golden("us-west-2.secrets", &west["secrets"]);
}

#[test]
fn a_gateway_inside_the_pinned_zone() {
    let mut europe = resources("eu-west-1");
    let routes = take_routes(&mut europe["listeners"]);
    golden("eu-west-1.routes", &Value::Array(routes));
    golden("eu-west-1.listeners", &europe["listeners"]);
    golden("eu-west-1.clusters", &europe["clusters"]);
    golden("eu-west-1.secrets", &europe["secrets"]);
}

#[test]
fn the_same_fleet_gives_the_same_messages() {
    assert_eq!(resources("us-east-1"), resources("us-east-1"));
}

#[test]
fn statistics_have_no_dots_in_names() {
    for region in ["us-west-2", "us-east-1", "eu-west-1"] {
        for cluster in resources(region)["clusters"].as_array().unwrap() {
            let name = cluster["alt_stat_name"].as_str().unwrap();
            assert!(
                !name.is_empty() && !name.contains(['.', '/', ':']),
                "{cluster}"
            );
        }
    }
}

#[test]
fn an_unknown_region_is_given_nothing() {
    let fleet = crate::fleet::parse(EXAMPLE).unwrap();
    assert_eq!(
        translate(
            &fleet,
            &Plan::default(),
            &"mars".parse::<RegionName>().unwrap(),
            None
        ),
        super::Snapshot::default()
    );
}

#[test]
fn a_gateway_that_no_zone_has_serves_no_peer() {
    let all = "regions: [us-west-2, us-east-1, eu-west-1]";
    assert!(EXAMPLE.contains(all));
    let text = EXAMPLE.replace(all, "regions: [us-west-2, eu-west-1]");
    let fleet = crate::fleet::parse(&text).unwrap();
    let east = "us-east-1".parse().unwrap();
    let snapshot = translate(&fleet, &Plan::default(), &east, None);
    assert!(crate::verify::verify(&fleet, &east, &snapshot).is_empty());
    let message = StaticResources {
        listeners: snapshot.listeners,
        ..StaticResources::default()
    };
    let mut json = meridian_proto::to_json(&message).unwrap();
    let routes = take_routes(&mut json["listeners"]);
    let peer = routes.iter().find(|routes| routes["name"] == "peer");
    let host = &peer.unwrap()["virtual_hosts"][0];
    assert_eq!(host["name"], "pools");
    assert_eq!(
        (&host["matcher"], &host["routes"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn a_name_decides_alone_only_where_the_fleet_file_says_so() {
    let dns = "{ dns: \"mistral.llm.svc:8000\" }";
    assert!(EXAMPLE.contains(dns));
    for (pool, ignores_health) in [
        (dns.to_owned(), false),
        (dns.replace(" }", ", keep_removed: true }"), false),
        (dns.replace(" }", ", keep_removed: false }"), true),
    ] {
        let fleet = crate::fleet::parse(&EXAMPLE.replace(dns, &pool)).unwrap();
        let west = "us-west-2".parse().unwrap();
        let snapshot = translate(&fleet, &Plan::default(), &west, None);
        let clusters = snapshot.clusters.iter();
        let ignoring = clusters.filter(|cluster| cluster.ignore_health_on_host_removal);
        let names: Vec<&str> = ignoring.map(|cluster| cluster.name.as_str()).collect();
        let expected: &[&str] = &["pool/us-west-2/mistral-7b"];
        assert_eq!(names, if ignores_health { expected } else { &[] });
        assert!(crate::verify::verify(&fleet, &west, &snapshot).is_empty());
    }
}
