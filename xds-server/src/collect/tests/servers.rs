//! Pages of inference servers other than vLLM.

use super::{Interpreted, Page, fixture, pools, preset, read, signal, whys};
use crate::collect::RefusalReason;
use meridian_planner::signal::{Figures, Reading};
use meridian_policy::source::Preset;

/// Reads a page of a region that has these models.
fn of(text: &str, preset: Preset, models: &[&str]) -> Interpreted {
    let page = Page::parse(text.as_bytes()).unwrap();
    preset::read(&page, preset, &signal(preset), &pools(models))
}

/// The figures of the only engine of the only model.
fn figures(read: &Interpreted, model: &str) -> Figures {
    assert_eq!(read.refused, []);
    match read.readings.as_slice() {
        [
            Reading::Server {
                model: of, figures, ..
            },
        ] if of.as_str() == model => figures.clone(),
        other => panic!("{other:?}"),
    }
}

fn gauges(figures: &Figures) -> [Option<f64>; 3] {
    [figures.running, figures.waiting, figures.kv_cache]
}

#[test]
fn sglang() {
    let model = "meta-llama/Llama-3.1-8B-Instruct";
    let page = fixture("from-docs/sglang.prom");
    let figures = figures(&of(&page, Preset::Sglang, &[model]), model);
    assert_eq!(gauges(&figures), [Some(24.0), Some(7.0), Some(0.62)]);
    let first = figures.first_token.unwrap();
    assert_eq!((first.count, first.sum), (812.0, 402.5));
}

#[test]
fn sglang_s_totals_are_those_of_no_priority_and_of_the_first_rank() {
    let running = |labels: &str, value: u32| {
        format!("sglang:num_running_reqs{{model_name=\"m\",{labels}}} {value}\n")
    };
    let first_token = |streaming: bool, count: u32| {
        let name = "sglang:time_to_first_token_seconds";
        let labels = format!("model_name=\"m\",is_streaming=\"{streaming}\"");
        format!(
            "{name}_bucket{{{labels},le=\"+Inf\"}} {count}\n{name}_sum{{{labels}}} 1\n{name}_count{{{labels}}} {count}\n"
        )
    };
    let page = [
        running("tp_rank=\"0\",priority=\"\"", 9),
        running("tp_rank=\"0\",priority=\"1\"", 4),
        running("tp_rank=\"1\",priority=\"\"", 9),
        running("tp_rank=\"0\",dp_rank=\"1\"", 5),
        first_token(true, 3),
        first_token(false, 8),
        "sglang:token_usage{model_name=\"m\",priority=\"2\"} 0\n".to_owned(),
    ]
    .concat();
    let read = of(&page, Preset::Sglang, &["m"]);
    assert_eq!(read.refused, []);
    let found: Vec<_> = read
        .readings
        .iter()
        .map(|reading| match reading {
            Reading::Server {
                engine, figures, ..
            } => {
                let first = figures.first_token.as_ref().map(|times| times.count);
                (engine.as_str(), figures.running, first)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(found, [("0", Some(9.0), Some(3.0)), ("1", Some(5.0), None)]);
}

#[test]
fn tgi() {
    let figures = figures(
        &read(&fixture("from-docs/tgi.prom"), Preset::Tgi),
        "tiny-llama",
    );
    assert_eq!(gauges(&figures), [Some(32.0), Some(9.0), None]);
    assert_eq!(figures.queue_time.unwrap().count, 1019.0);
}

#[test]
fn llamacpp() {
    let page = fixture("llamacpp/metrics.load.prom");
    let figures = figures(&read(&page, Preset::Llamacpp), "tiny-llama");
    assert_eq!(gauges(&figures), [Some(4.0), Some(8.0), None]);
}

#[test]
fn a_page_that_names_no_model_is_about_the_only_one() {
    let page = fixture("llamacpp/metrics.load.prom");
    let two = of(&page, Preset::Llamacpp, &["tiny-llama", "other"]);
    assert_eq!(two.readings, []);
    assert_eq!(
        whys(&two.refused),
        [
            ("llamacpp:requests_deferred", RefusalReason::MissingLabel, 1),
            (
                "llamacpp:requests_processing",
                RefusalReason::MissingLabel,
                1
            ),
        ]
    );
}

#[test]
fn triton() {
    let page = fixture("from-docs/triton.prom");
    let with_tensorrt = of(&page, Preset::Triton, &["tensorrt_llm"]);
    assert_eq!(
        gauges(&figures(&with_tensorrt, "tensorrt_llm")),
        [Some(14.0), Some(2.0), Some(0.41)]
    );
    let other: String = page
        .lines()
        .filter(|line| !line.contains("nv_trt_llm"))
        .map(|line| format!("{line}\n"))
        .collect();
    let other = of(&other, Preset::Triton, &["my_model"]);
    assert_eq!(
        gauges(&figures(&other, "my_model")),
        [None, Some(5.0), None]
    );
}

#[test]
fn a_page_of_another_server_says_so() {
    let read = read(&fixture("vllm/metrics.load.prom"), Preset::Sglang);
    assert_eq!(whys(&read.refused), [("page", RefusalReason::Nothing, 1)]);
}
