//! The text format.

use super::{fixture, fixtures};
use crate::collect::page::{LONGEST_LINE, MOST_PARTS, MetricType, Page, PageError};

fn values(page: &Page<'_>, name: &str) -> Vec<f64> {
    page.samples(name).iter().map(|it| it.value).collect()
}

#[test]
fn every_page_parses_to_the_last_line() {
    let mut seen = 0;
    for folder in ["vllm", "llamacpp", "envoy", "from-docs"] {
        for entry in std::fs::read_dir(fixtures().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let page = Page::parse(text.as_bytes()).unwrap();
            assert_eq!(page.bad_lines(), None, "{}", path.display());
            let samples = text
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'));
            for line in samples {
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(!page.samples(name).is_empty(), "{name} in {line}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 19, "only {seen} pages");
}

#[test]
fn names_with_colons_and_labels_with_anything() {
    let text = concat!(
        "# TYPE vllm:x gauge\n",
        "vllm:x{a=\"one, {two} = \\\"three\\\"\\\\\\n\",b=\"\"} +Inf 1795000000000\n",
        "  vllm:x 0x\r\n",
        "vllm:x{} -1e3\r\n",
    );
    let page = Page::parse(text.as_bytes()).unwrap();
    assert_eq!(page.kind("vllm:x"), MetricType::Gauge);
    assert_eq!(values(&page, "vllm:x"), [f64::INFINITY, -1000.0]);
    let first = &page.samples("vllm:x")[0];
    assert_eq!(first.label("a"), Some("one, {two} = \"three\"\\\n"));
    assert_eq!((first.label("b"), first.label("c")), (None, None));
    let (count, bad) = page.bad_lines().unwrap();
    assert_eq!((*count, bad.line, bad.text.as_str()), (1, 3, "  vllm:x 0x"));
}

#[test]
fn a_page_without_samples_has_nothing() {
    for text in ["", "\n\n", "# HELP a b\n# TYPE a gauge\n# nothing\n# EOF\n"] {
        let page = Page::parse(text.as_bytes()).unwrap();
        assert!(page.samples("a").is_empty() && page.bad_lines().is_none());
    }
}

#[test]
fn what_is_no_page_says_where() {
    let error = |bytes: &[u8]| Page::parse(bytes).unwrap_err().to_string();
    assert_eq!(
        error(b"<html>\n<body>no metrics here</body>\n"),
        "not Prometheus' text format: line 1: `<html>`"
    );
    assert_eq!(error(b"a 1\nb 2\n\xff\xfe 3\n"), "line 3 is not UTF-8");
}

#[test]
fn a_long_line_costs_only_itself() {
    let long = "x".repeat(LONGEST_LINE);
    let text = format!("a{{b=\"{long}\"}} 1\na 2\n");
    let page = Page::parse(text.as_bytes()).unwrap();
    assert_eq!(values(&page, "a"), [2.0]);
    let (count, bad) = page.bad_lines().unwrap();
    assert_eq!((*count, bad.line), (1, 1));
    assert!(bad.text.len() < 200);
}

#[test]
fn samples_and_labels_are_bounded_together() {
    let text = "a{b=\"c\"} 1\n".repeat(MOST_PARTS / 2);
    assert_eq!(
        Page::parse(text.as_bytes()).unwrap().samples("a").len(),
        MOST_PARTS / 2
    );
    let more = text + "a 1\n";
    assert_eq!(
        Page::parse(more.as_bytes()).unwrap_err(),
        PageError::TooMany
    );
}

#[test]
fn the_longest_line_of_vllm_is_far_from_the_limit() {
    let text = fixture("vllm/metrics.load.prom");
    let longest = text.lines().map(str::len).max().unwrap();
    assert!(longest * 10 < LONGEST_LINE, "{longest}");
}
