//! vLLM's pages.

use super::{fixture, pools, read, signal, whys};
use crate::collect::RefusalReason;
use crate::collect::page::Page;
use crate::collect::preset;
use meridian_planner::signal::{Answers, Figures, Reading};
use meridian_policy::source::Preset;

/// Engine and figures of each reading.
pub fn engines(readings: &[Reading]) -> Vec<(&str, &Figures)> {
    readings
        .iter()
        .map(|reading| match reading {
            Reading::Server {
                model,
                engine,
                figures,
            } if model.as_str() == "tiny-llama" => (engine.as_str(), figures),
            other => panic!("{other:?}"),
        })
        .collect()
}

/// Per engine: running, waiting, KV-cache usage, count of queue times, count and sum of first tokens, responses and
/// failures.
type Expected<'e> = (&'e str, [f64; 6], Option<(f64, f64)>);

fn check(page: &str, expect: &[Expected<'_>]) {
    let read = read(&fixture(page), Preset::Vllm);
    assert_eq!(read.refused, [], "{page}");
    let found: Vec<_> = engines(&read.readings)
        .into_iter()
        .map(|(engine, figures)| {
            assert_eq!(figures.max_running, None);
            let (queue, first) = (
                figures.queue_time.as_ref().unwrap(),
                figures.first_token.as_ref().unwrap(),
            );
            let numbers = [
                figures.running.unwrap(),
                figures.waiting.unwrap(),
                figures.kv_cache.unwrap(),
                queue.count,
                first.count,
                first.sum,
            ];
            let answers = figures.answers.map(|it| (it.all, it.failed));
            (engine, numbers, answers)
        })
        .collect();
    assert_eq!(found, expect, "{page}");
}

#[test]
fn under_load() {
    let kv = 0.12698412698412698;
    let numbers = [4.0, 8.0, kv, 24.0, 28.0, 32.51512598991394];
    // `GET /v1/models` is not an inference request.
    check(
        "vllm/metrics.load.prom",
        &[("0", numbers, Some((24.0, 0.0)))],
    );
}

#[test]
fn before_the_first_request_there_are_no_answers_yet() {
    let nothing = [0.0; 6];
    check(
        "vllm/metrics.cold.prom",
        &[("0", nothing, Some((0.0, 0.0)))],
    );
}

#[test]
fn idle_after_load_counts_what_the_caller_did_wrong_as_answered() {
    let read = read(
        &fixture("vllm/metrics.after_load_and_aborts.idle.prom"),
        Preset::Vllm,
    );
    let (_, figures) = engines(&read.readings)[0];
    assert_eq!((figures.running, figures.waiting), (Some(0.0), Some(0.0)));
    let (all, failed) = (96.0, 0.0);
    assert_eq!(figures.answers, Some(Answers { all, failed }));
}

#[test]
fn overloaded() {
    check(
        "vllm/metrics.overload_kvpressure.prom",
        &[(
            "0",
            [3.0, 3.0, 1.0, 36.0, 40.0, 11.94520092010498],
            Some((961.0, 912.0)),
        )],
    );
    for (page, all, failed) in [
        ("vllm/metrics.after_overload.idle.prom", 1882.0, 1793.0),
        ("vllm/shutdown.drain.metrics.prom", 1893.0, 1798.0),
    ] {
        let read = read(&fixture(page), Preset::Vllm);
        let answers = engines(&read.readings)[0].1.answers;
        assert_eq!(answers, Some(Answers { all, failed }), "{page}");
    }
}

#[test]
fn two_engines_share_one_count_of_answers() {
    let (kv, more) = (0.12698412698412698, 0.19047619047619047);
    check(
        "vllm/dp2.metrics.load.prom",
        &[
            (
                "0",
                [4.0, 2.0, kv, 5.0, 9.0, 8.46471357345581],
                Some((9.0, 0.0)),
            ),
            ("1", [4.0, 4.0, more, 4.0, 8.0, 15.305235862731934], None),
        ],
    );
    let cold = read(&fixture("vllm/dp2.metrics.cold.prom"), Preset::Vllm);
    assert_eq!((engines(&cold.readings).len(), cold.refused), (2, vec![]));
}

#[test]
fn a_histogram_keeps_its_buckets() {
    let read = read(&fixture("vllm/metrics.load.prom"), Preset::Vllm);
    let figures = engines(&read.readings)[0].1;
    let first = figures.first_token.as_ref().unwrap();
    assert_eq!(first.buckets.len(), 22);
    assert_eq!(first.buckets[2], (0.01, 2.0));
    assert_eq!(first.buckets[11..13], [(1.0, 12.0), (2.5, 28.0)]);
    assert_eq!(first.buckets[21], (2560.0, 28.0));
    let queue = figures.queue_time.as_ref().unwrap();
    assert_eq!(
        queue.buckets[..4],
        [(0.3, 8.0), (0.5, 8.0), (0.8, 8.0), (1.0, 12.0)]
    );
    assert_eq!(queue.sum, 24.43226646200037);
}

#[test]
fn the_source_may_name_the_model_and_the_most_that_run() {
    let text = fixture("vllm/metrics.load.prom");
    let page = Page::parse(text.as_bytes()).unwrap();
    let mut signal = signal(Preset::Vllm);
    signal.model = Some("llama-3.1-70b".parse().unwrap());
    signal.max_running = Some(4);
    let read = preset::read(&page, Preset::Vllm, &signal, &pools(&["llama-3.1-70b"]));
    assert_eq!(read.refused, []);
    let [Reading::Server { model, figures, .. }] = &read.readings[..] else {
        panic!("{read:?}");
    };
    assert_eq!(model.as_str(), "llama-3.1-70b");
    assert_eq!(
        (figures.running, figures.max_running),
        (Some(4.0), Some(4.0))
    );
}

/// Until 2025 vLLM had another name for its only KV-cache figure.
#[test]
fn an_old_server_s_kv_cache_is_read() {
    let old = fixture("vllm/metrics.overload_kvpressure.prom")
        .replace("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc");
    let read = read(&old, Preset::Vllm);
    assert_eq!(read.refused, []);
    assert_eq!(engines(&read.readings)[0].1.kv_cache, Some(1.0));
}

#[test]
fn a_server_whose_kv_cache_has_no_known_name_is_shown() {
    let new = fixture("vllm/metrics.load.prom").replace("vllm:kv_cache_usage_perc", "vllm:cache");
    let read = read(&new, Preset::Vllm);
    assert_eq!(engines(&read.readings)[0].1.kv_cache, None);
    let [refused] = &read.refused[..] else {
        panic!("{:?}", read.refused);
    };
    assert_eq!(
        refused.to_string(),
        "kv_cache: none of the expected metrics, e.g. vllm:kv_cache_usage_perc, vllm:gpu_cache_usage_perc"
    );
}

#[test]
fn another_server_s_page_has_nothing() {
    for page in [
        "llamacpp/metrics.load.prom",
        "from-docs/sglang.prom",
        "envoy/stats.load.prom",
    ] {
        let read = read(&fixture(page), Preset::Vllm);
        assert_eq!(read.readings, [], "{page}");
        assert_eq!(
            whys(&read.refused),
            [("page", RefusalReason::Nothing, 1)],
            "{page}"
        );
    }
}
