//! Pages whose metrics the fleet file maps to figures.

use super::{pools, signal, whys};
use crate::collect::interpreted::Interpreted;
use crate::collect::page::Page;
use crate::collect::{RefusalReason, metrics};
use meridian_planner::signal::{Answers, Figures, Reading};
use meridian_policy::source::{Figure, Metric, Preset};
use std::collections::BTreeMap;

fn metric(name: &str, labels: &[(&str, &str)], scale: f64) -> Metric {
    let labels = labels.iter();
    Metric {
        name: name.into(),
        labels: labels
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
        scale,
    }
}

/// Reads a page of a region with these pools, by these metrics; the model is in `model`.
fn read(text: &str, metrics: &[(Figure, Metric)], models: &[&str]) -> Interpreted {
    let page = Page::parse(text.as_bytes()).unwrap();
    let mut signal = signal(Preset::Vllm);
    signal.max_running = Some(8);
    let metrics: BTreeMap<Figure, Metric> = metrics.iter().cloned().collect();
    metrics::read(&page, &signal, (&metrics, "model"), &pools(models))
}

/// The figures of each engine with its model, sorted by model and engine.
fn engines(read: &Interpreted) -> Vec<(&str, Figures)> {
    let engines = read.readings.iter().filter_map(|reading| match reading {
        Reading::Server { model, figures, .. } => Some((model.as_str(), figures.clone())),
        _ => None,
    });
    engines.collect()
}

fn running(name: &str) -> (Figure, Metric) {
    (Figure::Running, metric(name, &[], 1.0))
}

#[test]
fn metrics_of_any_name_labels_and_scale() {
    let page = "\
# TYPE my_batch gauge
my_batch{state=\"active\",shard=\"a\",model=\"llama\"} 4
my_batch{state=\"idle\",shard=\"a\",model=\"llama\"} 100
my_batch{state=\"active\",shard=\"b\",model=\"llama\"} 6
my_cache_percent{shard=\"a\",model=\"llama\"} 25
my_cache_percent{shard=\"b\",model=\"llama\"} 50
my_full{model=\"mistral\"} 1.5
gpu_percent{card=\"0\"} 90
gpu_percent{card=\"1\"} 70
lag_ms{replica=\"a\"} 1500
lag_ms{replica=\"b\"} 500
";
    let read = read(
        page,
        &[
            (
                Figure::Running,
                metric("my_batch", &[("state", "active")], 1.0),
            ),
            (Figure::KvCache, metric("my_cache_percent", &[], 0.01)),
            (Figure::Utilization, metric("my_full", &[], 1.0)),
            (Figure::GpuBusy, metric("gpu_percent", &[], 0.01)),
            (Figure::ReplicationLag, metric("lag_ms", &[], 1e-3)),
        ],
        &["llama", "mistral"],
    );
    assert_eq!(read.refused, []);
    let mut found = engines(&read);
    found.sort_by(|one, other| one.1.running.partial_cmp(&other.1.running).unwrap());
    let llama = |running, kv_cache| Figures {
        running: Some(running),
        kv_cache: Some(kv_cache),
        max_running: Some(8.0),
        ..Figures::default()
    };
    let mistral = Figures {
        utilization: Some(1.5),
        max_running: Some(8.0),
        ..Figures::default()
    };
    assert_eq!(
        found,
        [
            ("mistral", mistral),
            ("llama", llama(4.0, 0.25)),
            ("llama", llama(6.0, 0.5)),
        ]
    );
    let gpu = Reading::Gpu {
        busy: Some(0.8),
        engine_active: None,
    };
    let lag = Reading::ReplicationLag { seconds: 1.5 };
    assert!(read.readings.contains(&gpu) && read.readings.contains(&lag));
}

#[test]
fn counters_of_a_page_are_added_up() {
    let page = "\
# TYPE requests_total counter
requests_total{path=\"/a\",status=\"200\"} 90
requests_total{path=\"/a\",status=\"500\"} 7
requests_total{path=\"/b\",status=\"500\"} 3
";
    let of = |failed: &str| {
        let metrics = [
            (Figure::Answers, metric("requests_total", &[], 1.0)),
            (
                Figure::Failures,
                metric("requests_total", &[("status", failed)], 1.0),
            ),
        ];
        read(page, &metrics, &["llama"])
    };
    let answers = |read: &Interpreted| engines(read)[0].1.answers;
    let expected = |failed| Some(Answers { all: 100.0, failed });
    assert_eq!(answers(&of("500")), expected(10.0));
    assert_eq!(answers(&of("503")), expected(0.0));
    // One refused series makes the sum unusable.
    let lies = page.replace("} 90", "} NaN");
    let metrics = [(Figure::Answers, metric("requests_total", &[], 1.0))];
    let lied = read(&lies, &metrics, &["llama"]);
    assert_eq!(lied.readings, []);
    assert_eq!(
        whys(&lied.refused),
        [("requests_total", RefusalReason::NotANumber, 1)]
    );
    // More failures than answers.
    let metrics = [
        (
            Figure::Answers,
            metric("requests_total", &[("status", "200")], 1.0),
        ),
        (Figure::Failures, metric("requests_total", &[], 1.0)),
    ];
    let more = read(page, &metrics, &["llama"]);
    assert_eq!(more.readings, []);
    assert_eq!(
        whys(&more.refused),
        [("requests_total", RefusalReason::Contradicts, 1)]
    );
}

#[test]
fn what_cannot_be_is_refused_under_its_own_name() {
    for (value, why) in [
        ("NaN", RefusalReason::NotANumber),
        ("-1", RefusalReason::Negative),
        ("+Inf", RefusalReason::Infinite),
        ("1e9", RefusalReason::TooLarge),
    ] {
        let found = read(&format!("mine {value}\n"), &[running("mine")], &["llama"]);
        assert_eq!(found.readings, [], "{value}");
        assert_eq!(whys(&found.refused), [("mine", why, 1)]);
    }
    let percent = [(Figure::KvCache, metric("mine", &[], 1.0))];
    let found = read("mine 85\n", &percent, &["llama"]);
    assert_eq!(whys(&found.refused), [("mine", RefusalReason::TooLarge, 1)]);
    let found = read(
        "# TYPE mine counter\nmine 1\n",
        &[running("mine")],
        &["llama"],
    );
    assert_eq!(
        whys(&found.refused),
        [("mine", RefusalReason::WrongType, 1)],
        "a counter is no number of requests in work"
    );
    let found = read("other 1\n", &[running("mine")], &["llama"]);
    assert_eq!(whys(&found.refused), [("page", RefusalReason::Nothing, 1)]);
    let found = read("mine 1\nmine 2\n", &[running("mine")], &["llama"]);
    assert_eq!(whys(&found.refused), [("mine", RefusalReason::Twice, 1)]);
    assert_eq!(engines(&found)[0].1.running, Some(1.0));
}

#[test]
fn a_series_is_about_the_only_pool_or_says_which() {
    let of = |text: &str, models: &[&str]| {
        let read = read(text, &[running("mine")], models);
        let model = engines(&read).first().map(|(model, _)| (*model).to_owned());
        model.ok_or_else(|| read.refused[0].why)
    };
    assert_eq!(of("mine 1\n", &["llama"]), Ok("llama".into()));
    let two = ["llama", "mistral"];
    assert_eq!(of("mine 1\n", &two), Err(RefusalReason::MissingLabel));
    assert_eq!(
        of("mine{model=\"gpt\"} 1\n", &two),
        Err(RefusalReason::UnknownName)
    );
    assert_eq!(
        of("mine{model=\"mistral\"} 1\n", &two),
        Ok("mistral".into())
    );
}

#[test]
fn a_source_that_invents_engines_has_some_of_them() {
    let page: String = (0..1000)
        .map(|number| format!("mine{{pod=\"{number}\"}} 1\n"))
        .collect();
    let found = read(&page, &[running("mine")], &["llama"]);
    assert_eq!(engines(&found).len(), 256);
    assert_eq!(
        whys(&found.refused),
        [("mine", RefusalReason::TooMany, 744)]
    );
}
