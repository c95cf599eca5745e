//! For arbitrary input nothing panics, and no reading has an impossible value.

use super::{pools, signal};
use crate::collect::figures::{FigureReader, FigureSample};
use crate::collect::interpreted::Interpreted;
use crate::collect::metrics;
use crate::collect::page::Page;
use crate::collect::preset;
use meridian_planner::signal::{Figures, Histogram, Reading};
use meridian_policy::source::{Figure, Metric, Preset};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::collections::BTreeMap;

fn times(histogram: &Histogram) -> Vec<f64> {
    let mut numbers: Vec<f64> = histogram
        .buckets
        .iter()
        .flat_map(|it| [it.0, it.1])
        .collect();
    numbers.extend([histogram.sum, histogram.count]);
    numbers
}

fn numbers(reading: &Reading) -> Vec<f64> {
    match reading {
        Reading::Server { figures, .. } => {
            let Figures {
                running,
                max_running,
                waiting,
                kv_cache,
                utilization,
                queue_time,
                first_token,
                answers,
            } = figures;
            let single = [running, max_running, waiting, kv_cache, utilization];
            let mut numbers: Vec<f64> = single.into_iter().copied().flatten().collect();
            numbers.extend(queue_time.iter().chain(first_token).flat_map(times));
            numbers.extend(answers.iter().flat_map(|it| [it.all, it.failed]));
            numbers
        }
        Reading::Gpu {
            busy,
            engine_active,
        } => [busy, engine_active]
            .into_iter()
            .copied()
            .flatten()
            .collect(),
        Reading::ReplicationLag { seconds } => vec![*seconds],
        other => panic!("{other:?} from a page"),
    }
}

/// The number of readings, after checking that each is possible.
fn sound(read: &Interpreted) -> Result<usize, TestCaseError> {
    for reading in &read.readings {
        let numbers = numbers(reading);
        prop_assert!(!numbers.is_empty(), "{reading:?} says nothing");
        let fine = |number: &f64| number.is_finite() && !number.is_sign_negative();
        prop_assert!(numbers.iter().all(fine), "{reading:?}");
    }
    Ok(read.readings.len())
}

const FIGURES: [Figure; 9] = [
    Figure::Running,
    Figure::Waiting,
    Figure::KvCache,
    Figure::Utilization,
    Figure::Answers,
    Figure::Failures,
    Figure::GpuBusy,
    Figure::GpuActive,
    Figure::ReplicationLag,
];

/// Configured metrics, under names that occur on the generated pages.
fn named() -> BTreeMap<Figure, Metric> {
    let names = [
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:kv_cache_usage_perc",
        "http_requests_total",
        "http_requests_total",
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
        "pg_replication_lag_seconds",
    ];
    let metric = |name: &str| Metric {
        name: name.into(),
        labels: BTreeMap::new(),
        scale: 0.01,
    };
    FIGURES.into_iter().zip(names.map(metric)).collect()
}

fn check(bytes: &[u8]) -> Result<usize, TestCaseError> {
    let Ok(page) = Page::parse(bytes) else {
        return Ok(0);
    };
    let mut found = 0;
    for preset in [
        Preset::Vllm,
        Preset::Sglang,
        Preset::Tgi,
        Preset::Llamacpp,
        Preset::Triton,
        Preset::Dcgm,
        Preset::Postgres,
        Preset::Milvus,
    ] {
        for model in [None, Some("tiny-llama".parse().unwrap())] {
            let mut signal = signal(preset);
            signal.model = model;
            let read = preset::read(&page, preset, &signal, &pools(&["tiny-llama"]));
            found += sound(&read)?;
        }
    }
    let signal = signal(Preset::Vllm);
    let read = metrics::read(
        &page,
        &signal,
        (&named(), "model_name"),
        &pools(&["tiny-llama"]),
    );
    Ok(found + sound(&read)?)
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:request_queue_time_seconds_bucket",
        "vllm:request_queue_time_seconds_sum",
        "vllm:request_queue_time_seconds_count",
        "vllm:time_to_first_token_seconds_bucket",
        "http_requests_total",
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
        "pg_replication_lag_seconds",
        "pg_replication_is_replica",
        "# TYPE vllm:num_requests_running gauge\nx",
        "# TYPE http_requests_total",
    ])
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("model_name=\"tiny-llama\"".to_owned()),
        "(engine|gpu|GPU_I_ID|UUID)=\"[01]?\"",
        "le=\"(0|0\\.5|-1|1e400|NaN|\\+Inf|x)\"",
        Just("handler=\"/v1/completions\",method=\"POST\",status=\"5xx\"".to_owned()),
        "[a-z]{0,3}=?\"?[ -~]{0,6}\"?",
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0_u32..200).prop_map(|value| value.to_string()),
        4 => (0.0..1.0_f64).prop_map(|value| value.to_string()),
        1 => any::<f64>().prop_map(|value| value.to_string()),
        1 => prop::sample::select(vec!["NaN", "+Inf", "-Inf", "-0", "1e400", "9223372036854775794", "", "x"])
            .prop_map(str::to_owned),
    ]
}

fn line() -> impl Strategy<Value = String> {
    (name(), prop::collection::vec(label(), 0..4), value())
        .prop_map(|(name, labels, value)| format!("{name}{{{}}} {value}\n", labels.join(",")))
}

proptest! {
    /// Pushes and query results.
    #[test]
    fn values(said in prop::collection::vec((0..FIGURES.len(), any::<bool>(), 0..3_u8, any::<f64>()), 0..40)) {
        let (signal, pools) = (signal(Preset::Vllm), pools(&["tiny-llama", "other"]));
        let mut reader = FigureReader::new(&signal, &pools);
        for (figure, names_model, engine, value) in said {
            let figure = FIGURES[figure];
            let sample = FigureSample {
                figure,
                metric: figure.as_str().into(),
                model: names_model.then_some("tiny-llama"),
                engine: engine.to_string(),
                value,
            };
            reader.add(sample, &value);
        }
        sound(&reader.finish())?;
    }

    #[test]
    fn bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check(&bytes)?;
    }

    #[test]
    fn text(text in "([a-z:_]{1,4}|[ \n\r\t{}\",=#\\\\]|[0-9.eE+-]|NaN|TYPE|HELP){0,60}") {
        check(text.as_bytes())?;
    }

    #[test]
    fn lines_that_look_right(lines in prop::collection::vec(line(), 0..40)) {
        check(lines.concat().as_bytes())?;
    }
}

/// The generated pages are not trivial: some become readings.
#[test]
fn lines_that_look_right_are_read() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let pages = prop::collection::vec(line(), 40);
    let found: usize = (0..50)
        .map(|_| {
            let page = pages.new_tree(&mut runner).unwrap().current();
            check(page.concat().as_bytes()).unwrap()
        })
        .sum();
    assert!(found > 100, "{found}");
}
