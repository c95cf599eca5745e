//! Reports of gateways, and their part of the status report.

use super::*;

/// The attempts that us-west-2's gateway has made at its own pool so far.
fn heard(source: &str, at: Millis, answered: f64) -> Event {
    let observation = Observation {
        region: "us-west-2".parse().unwrap(),
        source: source.into(),
        at,
        readings: vec![Reading::Attempts {
            zone: "global".parse().unwrap(),
            model: LLAMA.parse().unwrap(),
            lane: Lane::Home,
            to: "us-west-2".parse().unwrap(),
            counts: AttemptCounts {
                answered,
                ..Default::default()
            },
        }],
    };
    Event::Gateway(GatewayEvent::Report(gateway::GatewayReport {
        region: "us-west-2".parse().unwrap(),
        source: source.into(),
        at,
        observation: Some(observation),
        refused: Vec::new(),
        certificates: Default::default(),
    }))
}

#[test]
fn a_gateway_that_is_gone_counts_no_more() {
    let mut stand = Stand::new();
    for second in 0..5 {
        for (source, each) in [("gw", 10.0), ("gw#2", 3.0)] {
            stand.handle(heard(source, stand.now, 100.0 + each * f64::from(second)));
        }
        stand.tick(1000);
    }
    let shown = |stand: &Stand| {
        let region = stand.report().regions.remove("us-west-2").unwrap();
        let sources: Vec<String> = region.sources.into_keys().collect();
        (region.pools[LLAMA].demand["global"], sources)
    };
    let all = vec!["gw".to_owned(), "gw#2".to_owned()];
    assert_eq!(shown(&stand), (13.0, all));
    stand.handle(Event::Gateway(GatewayEvent::StreamEnded {
        region: "us-west-2".parse().unwrap(),
        source: "gw".into(),
    }));
    assert_eq!(shown(&stand), (3.0, vec!["gw#2".to_owned()]));
}

#[test]
fn series_that_are_too_many_are_refused_and_counted() {
    let mut stand = Stand::new();
    let url = fleet().regions["us-west-2"].signals[0].url.clone();
    let mut look = |engines: std::ops::Range<u32>| {
        let reading = |engine: u32| Reading::Server {
            model: LLAMA.parse().unwrap(),
            engine: engine.to_string(),
            figures: Figures::default(),
        };
        let observation = Observation {
            region: "us-west-2".parse().unwrap(),
            source: "signals[0]".into(),
            at: stand.now,
            readings: engines.map(reading).collect(),
        };
        let scraped = Scraped {
            observation: Some(observation),
            refused: Vec::new(),
        };
        stand.look("us-west-2", "signals[0]", &url, Ok(scraped));
        stand.report().regions["us-west-2"].sources["signals[0]"].clone()
    };
    assert_eq!(look(0..10_000).refused, [""; 0]);
    let source = look(9_998..10_003);
    assert_eq!(source.refused, ["more series than the limit, 3 times"]);
    assert_eq!(source.refusals, [("too_many".to_owned(), 3)].into());
    assert_eq!(look(0..1).refused, [""; 0], "shown for as long as it is so");
}

#[test]
fn envoys_of_one_node_id_are_shown_both_and_counted_together() {
    let mut report = Stand::new().report();
    let refuses = TypeReport {
        refused: Some("v2".into()),
        nack: Some("no such filter".into()),
        ..Default::default()
    };
    report.envoys = ["10.0.1.2:4001", "10.0.1.3:4001"]
        .map(|remote| EnvoyReport {
            node: "gw".into(),
            region: "us-west-2".into(),
            remote: remote.into(),
            protocol: "delta".into(),
            types: [("listener".to_owned(), refuses.clone())].into(),
            ..Default::default()
        })
        .into();
    let text = status::text(&report);
    for remote in ["10.0.1.2:4001", "10.0.1.3:4001"] {
        assert_eq!(text.matches(remote).count(), 2, "{text}");
    }
    let page = metrics::page(report);
    let series: Vec<&str> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect();
    let distinct: BTreeSet<&str> = series.iter().copied().collect();
    assert_eq!(series.len(), distinct.len(), "{page}");
    let refusing = r#"meridian_envoy_refuses{region="us-west-2",node="gw",type="listener"} 2"#;
    assert!(page.contains(refusing), "{page}");
}

#[test]
fn more_envoys_than_budgets_are_for_are_an_alarm() {
    let mut report = Stand::new().report();
    let envoy = |region: &str| EnvoyReport {
        region: region.into(),
        ..Default::default()
    };
    report.envoys = vec![envoy("us-west-2"), envoy("us-west-2"), envoy("eu-west-1")];
    assert_eq!(report.too_many(), [], "nothing has a budget");
    for region in report.regions.values_mut() {
        region.budgeted = Some(1);
    }
    let alarms = report.too_many();
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert!(alarms[0].message.starts_with("2 Envoys are connected"));
    report.alarms = alarms;
    let page = metrics::page(report.clone());
    for (region, count) in [("us-west-2", "1.0"), ("eu-west-1", "0.0")] {
        let sample =
            format!(r#"meridian_alarms{{region="{region}",kind="too_many_gateways"}} {count}"#);
        assert!(page.contains(&sample), "no `{sample}` in {page}");
    }
    report.regions.get_mut("us-west-2").unwrap().budgeted = Some(2);
    assert_eq!(report.too_many(), []);
}
