//! Values of sources that are refused.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Why a value is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefusalReason {
    /// The value is NaN.
    NotANumber,
    /// The value is infinite.
    Infinite,
    /// The value is below zero.
    Negative,
    /// The value is larger than it can be, e.g. a ratio far above 1.
    TooLarge,
    /// The value means "no reading".
    Blank,
    /// The metric is not defined for a GPU that is split into MIG instances.
    Mig,
    /// The series is repeated; the first one counts.
    Twice,
    /// The values contradict each other, e.g. buckets that fall.
    Contradicts,
    /// The metric has another type than expected.
    WrongType,
    /// A required label is missing.
    MissingLabel,
    /// A label names a pool, model, zone, region, lane or outcome that the fleet does not have.
    UnknownName,
    /// There are more series than the limit.
    TooMany,
    /// The line is not valid text format.
    BadLine,
    /// The page or result has none of the expected metrics.
    Nothing,
    /// The sample is older than `signal_ttl`.
    Stale,
    /// The push came too soon after the last one.
    TooOften,
}

impl RefusalReason {
    /// A short, stable name for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotANumber => "not_a_number",
            Self::Infinite => "infinite",
            Self::Negative => "negative",
            Self::TooLarge => "too_large",
            Self::Blank => "blank",
            Self::Mig => "mig",
            Self::Twice => "twice",
            Self::Contradicts => "contradicts",
            Self::WrongType => "wrong_type",
            Self::MissingLabel => "missing_label",
            Self::UnknownName => "unknown_name",
            Self::TooMany => "too_many",
            Self::BadLine => "bad_line",
            Self::Nothing => "nothing",
            Self::Stale => "stale",
            Self::TooOften => "too_often",
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotANumber => "not a number",
            Self::Infinite => "infinite",
            Self::Negative => "negative",
            Self::TooLarge => "larger than possible",
            Self::Blank => "no reading",
            Self::Mig => "not defined for a GPU with MIG instances",
            Self::Twice => "repeated",
            Self::Contradicts => "contradictory",
            Self::WrongType => "another type than expected",
            Self::MissingLabel => "a required label is missing",
            Self::UnknownName => "not in the fleet file",
            Self::TooMany => "more series than the limit",
            Self::BadLine => "not Prometheus' text format",
            Self::Nothing => "none of the expected metrics",
            Self::Stale => "older than `signal_ttl`",
            Self::TooOften => "too soon after the last one",
        })
    }
}

/// Values of one metric that are refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The metric or figure; `page`, `answer` or `push` if the whole message is refused.
    pub metric: Cow<'static, str>,
    /// The reason.
    pub why: RefusalReason,
    /// The number of values.
    pub count: u64,
    /// The first value, shortened.
    pub example: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.metric, self.why)?;
        if self.count > 1 {
            write!(f, ", {} times", self.count)?;
        }
        if !self.example.is_empty() {
            write!(f, ", e.g. {}", self.example)?;
        }
        Ok(())
    }
}

/// Counts refused values. Its size is bounded by the number of known metrics and of those in the fleet file, whatever a
/// source sends.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<(Cow<'static, str>, RefusalReason), (u64, String)>);

impl Refusals {
    pub(super) fn add(
        &mut self,
        metric: impl Into<Cow<'static, str>>,
        why: RefusalReason,
        example: &dyn fmt::Display,
    ) {
        self.add_many(metric, why, 1, example);
    }

    pub(super) fn add_many(
        &mut self,
        metric: impl Into<Cow<'static, str>>,
        why: RefusalReason,
        count: u64,
        example: &dyn fmt::Display,
    ) {
        self.0
            .entry((metric.into(), why))
            .or_insert_with(|| (0, excerpt(&example.to_string())))
            .0 += count;
    }

    /// The value, or `None` after counting the refusal.
    pub(super) fn accept<T>(
        &mut self,
        metric: impl Into<Cow<'static, str>>,
        value: Result<T, RefusalReason>,
        example: &dyn fmt::Display,
    ) -> Option<T> {
        value.map_err(|why| self.add(metric, why, example)).ok()
    }

    pub(super) fn into_vec(self) -> Vec<Refused> {
        self.0
            .into_iter()
            .map(|((metric, why), (count, example))| Refused {
                metric,
                why,
                count,
                example,
            })
            .collect()
    }
}

/// The beginning of a text, escaped for a log line.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut escaped = text.escape_debug();
    let mut excerpt: String = escaped.by_ref().take(LONGEST).collect();
    if escaped.next().is_some() {
        excerpt.push('…');
    }
    excerpt
}
