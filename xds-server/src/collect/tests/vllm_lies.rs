//! vLLM pages with values that are refused.

use super::vllm::engines;
use super::{pools, read, signal, whys};
use crate::collect::RefusalReason;
use crate::collect::page::Page;
use crate::collect::preset;
use meridian_policy::source::Preset;

#[test]
fn a_model_without_a_pool_is_refused_and_the_others_stay() {
    let text = concat!(
        "vllm:num_requests_waiting{engine=\"0\",model_name=\"tiny-llama\"} 3\n",
        "vllm:num_requests_waiting{engine=\"0\",model_name=\"a-lora\"} 2\n",
        "vllm:num_requests_waiting{engine=\"0\",model_name=\"another\"} 1\n",
        "vllm:num_requests_waiting{engine=\"0\"} 1\n",
    );
    let read = read(text, Preset::Vllm);
    assert_eq!(engines(&read.readings)[0].1.waiting, Some(3.0));
    let waiting = "vllm:num_requests_waiting";
    assert_eq!(
        whys(&read.refused),
        [
            (waiting, RefusalReason::MissingLabel, 1),
            (waiting, RefusalReason::UnknownName, 2)
        ]
    );
    assert_eq!(read.refused[1].example, "engine=0 model_name=a-lora 2");
}

#[test]
fn values_that_cannot_be_are_refused_one_by_one() {
    let metric = "vllm:kv_cache_usage_perc";
    for (value, why) in [
        ("NaN", RefusalReason::NotANumber),
        ("+Inf", RefusalReason::Infinite),
        ("-Inf", RefusalReason::Infinite),
        ("-0.1", RefusalReason::Negative),
        ("87.5", RefusalReason::TooLarge),
        ("1.02", RefusalReason::TooLarge),
    ] {
        let text = format!("{metric} {value}\nvllm:num_requests_running 1\n");
        let page = Page::parse(text.as_bytes()).unwrap();
        let mut signal = signal(Preset::Vllm);
        signal.model = Some("tiny-llama".parse().unwrap());
        let read = preset::read(&page, Preset::Vllm, &signal, &pools(&["tiny-llama"]));
        assert_eq!(whys(&read.refused), [(metric, why, 1)], "{value}");
        let figures = engines(&read.readings)[0].1;
        assert_eq!((figures.kv_cache, figures.running), (None, Some(1.0)));
    }
    let label = "{model_name=\"tiny-llama\"}";
    let read = read(&format!("{metric}{label} 1.005\n"), Preset::Vllm);
    assert_eq!(engines(&read.readings)[0].1.kv_cache, Some(1.0));
}

#[test]
fn absurd_numbers_wrong_types_and_doubles() {
    let text = concat!(
        "# TYPE vllm:num_requests_waiting counter\n",
        "vllm:num_requests_waiting{model_name=\"tiny-llama\"} 3\n",
        "vllm:num_requests_running{model_name=\"tiny-llama\"} 1e30\n",
        "vllm:kv_cache_usage_perc{model_name=\"tiny-llama\"} 0.5\n",
        "vllm:kv_cache_usage_perc{model_name=\"tiny-llama\"} 0.75\n",
    );
    let read = read(text, Preset::Vllm);
    assert_eq!(
        whys(&read.refused),
        [
            ("vllm:kv_cache_usage_perc", RefusalReason::Twice, 1),
            ("vllm:num_requests_running", RefusalReason::TooLarge, 1),
            ("vllm:num_requests_waiting", RefusalReason::WrongType, 1),
        ]
    );
    let figures = engines(&read.readings)[0].1;
    assert_eq!((figures.kv_cache, figures.running), (Some(0.5), None));
}

#[test]
fn a_histogram_that_contradicts_itself_is_refused_whole() {
    let good = [("0.1", "1"), ("0.2", "2"), ("+Inf", "3")];
    let histogram = |buckets: &[(&str, &str)], count: &str, sum: &str| {
        let label = "model_name=\"tiny-llama\"";
        let metric = "vllm:request_queue_time_seconds";
        let mut text = format!("{metric}_sum{{{label}}} {sum}\n");
        if !count.is_empty() {
            text += &format!("{metric}_count{{{label}}} {count}\n");
        }
        for (bound, up_to) in buckets {
            text += &format!("{metric}_bucket{{le=\"{bound}\",{label}}} {up_to}\n");
        }
        text += &format!("vllm:num_requests_waiting{{{label}}} 1\n");
        let read = read(&text, Preset::Vllm);
        let queue_time = engines(&read.readings)[0].1.queue_time.clone();
        (queue_time, read.refused.first().map(|it| it.why))
    };
    let (times, why) = histogram(&good, "", "0.5");
    let times = times.unwrap();
    assert_eq!((times.count, times.sum, why), (3.0, 0.5, None));
    assert_eq!(times.buckets, [(0.1, 1.0), (0.2, 2.0)]);
    for (buckets, count, sum, why) in [
        (&good[..], "1", "0.5", RefusalReason::Contradicts),
        (&good[..2], "", "0.5", RefusalReason::Contradicts),
        (
            &[("0.1", "2"), ("0.2", "1")][..],
            "3",
            "1",
            RefusalReason::Contradicts,
        ),
        (
            &[("0.1", "1"), ("0.1", "1")][..],
            "3",
            "1",
            RefusalReason::Contradicts,
        ),
        (&[("NaN", "1")][..], "3", "1", RefusalReason::NotANumber),
        (&[("-1", "1")][..], "3", "1", RefusalReason::Negative),
        (&[("x", "1")][..], "3", "1", RefusalReason::MissingLabel),
        (&good[..], "3", "NaN", RefusalReason::NotANumber),
        (&good[..], "3", "-1", RefusalReason::Negative),
        (&good[..], "1e300", "1", RefusalReason::TooLarge),
    ] {
        let (times, found) = histogram(buckets, count, sum);
        assert_eq!(found, Some(why), "{buckets:?} {count} {sum}");
        assert!(times.is_none() || why == RefusalReason::MissingLabel);
    }
}

#[test]
fn no_answers_rather_than_half_of_them() {
    let text = concat!(
        "vllm:num_requests_waiting{model_name=\"tiny-llama\"} 1\n",
        "http_requests_total{handler=\"/v1/completions\",method=\"POST\",status=\"2xx\"} 10\n",
        "http_requests_total{handler=\"/v1/completions\",method=\"POST\",status=\"5xx\"} NaN\n",
    );
    let read = read(text, Preset::Vllm);
    assert_eq!(engines(&read.readings)[0].1.answers, None);
    let nan = ("http_requests_total", RefusalReason::NotANumber, 1);
    assert_eq!(whys(&read.refused), [nan]);
}

#[test]
fn more_engines_than_there_are_get_no_reading() {
    let engine = |n: u32| {
        format!("vllm:num_requests_waiting{{engine=\"{n}\",model_name=\"tiny-llama\"}} 1\n")
    };
    let text: String = (0..1000).map(engine).collect();
    let read = read(&text, Preset::Vllm);
    assert_eq!(read.readings.len(), 256);
    let many = ("vllm:num_requests_waiting", RefusalReason::TooMany, 744);
    assert_eq!(whys(&read.refused), [many]);
}
