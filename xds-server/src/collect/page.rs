//! Parses Prometheus' text format.
//!
//! Each line is parsed by itself, so one bad line loses one sample. Callers assemble histograms, as they know the
//! units.

use super::refused::excerpt;
use prometheus_scraper::borrowed::{LabelPair, MetricValue};
use prometheus_scraper::{TextFormat, text_parse_family};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

pub use prometheus_scraper::owned::MetricType;

/// Longest line that is parsed, in bytes. vLLM's longest lines have about 2,000.
pub const LONGEST_LINE: usize = 64 << 10;
/// Limit of samples and labels of one page. A vLLM page has about 2,000, a DCGM page 500 per GPU.
pub const MOST_PARTS: usize = 400_000;

/// A page of metrics, borrowed from its bytes.
#[derive(Debug)]
pub struct Page<'a> {
    samples: HashMap<Cow<'a, str>, Vec<Sample<'a>>>,
    types: HashMap<Cow<'a, str>, MetricType>,
    bad: Option<(u64, BadLine)>,
}

/// One value of a series.
#[derive(Debug)]
pub struct Sample<'a> {
    labels: Vec<LabelPair<'a>>,
    /// The value. It may be NaN or infinite.
    pub value: f64,
}

/// Why a body is not a page of metrics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Not UTF-8.
    #[error("line {line} is not UTF-8")]
    NotUtf8 {
        /// Counted from 1.
        line: usize,
    },
    /// More than [`MOST_PARTS`].
    #[error("more than {MOST_PARTS} samples and labels")]
    TooMany,
    /// No line is a sample.
    #[error("not Prometheus' text format: {0}")]
    NoSample(BadLine),
}

/// A line that does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    /// The beginning of the line.
    pub text: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: `{}`", self.line, self.text)
    }
}

impl<'a> Page<'a> {
    /// Parses a page. Lines that do not parse are counted.
    ///
    /// # Errors
    ///
    /// If no line parses, the body is not UTF-8, or it has too many samples.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PageError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let fine = &bytes[..error.valid_up_to()];
            let line = fine.iter().filter(|byte| **byte == b'\n').count() + 1;
            PageError::NotUtf8 { line }
        })?;
        let mut page = Self {
            samples: HashMap::new(),
            types: HashMap::new(),
            bad: None,
        };
        let mut parts = 0;
        for (index, line) in text.lines().enumerate() {
            match page.line(line) {
                Some(more) => parts += more,
                None => page.bad(index + 1, line),
            }
            if parts > MOST_PARTS {
                return Err(PageError::TooMany);
            }
        }
        match page.bad {
            Some((_, line)) if page.samples.is_empty() => Err(PageError::NoSample(line)),
            _ => Ok(page),
        }
    }

    /// The samples of this name.
    pub fn samples(&self, name: &str) -> &[Sample<'a>] {
        self.samples.get(name).map_or(&[], Vec::as_slice)
    }

    /// The type of a metric; [`MetricType::Untyped`] if the page has none.
    pub fn kind(&self, name: &str) -> MetricType {
        self.types.get(name).copied().unwrap_or(MetricType::Untyped)
    }

    /// Whether the page has a sample or a type of this name.
    pub fn mentions(&self, name: &str) -> bool {
        self.types.contains_key(name) || self.samples.contains_key(name)
    }

    /// The number of lines that did not parse, and the first of them.
    pub fn bad_lines(&self) -> Option<&(u64, BadLine)> {
        self.bad.as_ref()
    }

    /// Parses one line. Returns the number of its samples and labels; `None` if it does not parse.
    fn line(&mut self, line: &'a str) -> Option<usize> {
        let trimmed = line.trim_start();
        let comment = trimmed.strip_prefix('#').map(str::trim_start);
        let is_type = comment.is_some_and(|comment| comment.starts_with("TYPE"));
        if trimmed.is_empty() || (comment.is_some() && !is_type) {
            return Some(0);
        }
        if line.len() > LONGEST_LINE {
            return None;
        }
        let mut family = text_parse_family(line, TextFormat::Prometheus).ok()?;
        if is_type {
            // An empty name means a comment that happens to begin with TYPE.
            if !family.name.is_empty() {
                self.types.insert(family.name, family.r#type);
            }
            return Some(1);
        }
        let metric = family.metric.pop()?;
        let MetricValue::Untyped(value) = metric.value else {
            return None;
        };
        if family.name.is_empty() {
            return None;
        }
        let parts = 1 + metric.label.len();
        self.samples.entry(family.name).or_default().push(Sample {
            labels: metric.label,
            value: value.as_f64(),
        });
        Some(parts)
    }

    fn bad(&mut self, line: usize, text: &str) {
        let first = || BadLine {
            line,
            text: excerpt(text),
        };
        self.bad.get_or_insert_with(|| (0, first())).0 += 1;
    }
}

impl Sample<'_> {
    /// A label's value. An empty value counts as missing, as in Prometheus.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|label| label.name == name)
            .map(|label| label.value.as_ref())
            .filter(|value| !value.is_empty())
    }

    /// All labels.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.labels.iter();
        labels.map(|label| (label.name.as_ref(), label.value.as_ref()))
    }

    /// Whether both have the same labels, in any order.
    pub fn same_labels(&self, other: &Sample<'_>) -> bool {
        let has = |one: &LabelPair<'_>| other.label(&one.name) == self.label(&one.name);
        self.labels.len() == other.labels.len() && self.labels.iter().all(has)
    }
}

impl fmt::Display for Sample<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in &self.labels {
            write!(f, "{}={} ", label.name, label.value)?;
        }
        write!(f, "{}", self.value)
    }
}
