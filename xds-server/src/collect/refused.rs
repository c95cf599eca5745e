//! What a source said that is not believed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Why something is not believed.
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
    /// The value stands for "no reading".
    Blank,
    /// The metric does not mean this on a GPU that is split into MIG instances.
    Mig,
    /// The series stands there twice; the first counts.
    Twice,
    /// The values contradict each other, e.g. buckets that fall.
    Contradicts,
    /// The metric's type is not the one that its name promises.
    WrongType,
    /// A label that tells what the value is about is missing.
    MissingLabel,
    /// A label names no pool, model, zone, region, lane or outcome of this fleet.
    UnknownName,
    /// There are more series than a source of this kind has.
    TooMany,
    /// The line is not of the text format.
    BadLine,
    /// Nothing that is known or asked for is there.
    Nothing,
    /// The sample is older than a signal may be.
    Stale,
    /// It came too soon after the one before.
    TooOften,
}

impl RefusalReason {
    /// A short name that does not change, for metrics.
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
            Self::TooLarge => "too large to be true",
            Self::Blank => "no reading",
            Self::Mig => "says nothing about a GPU that is split into MIG instances",
            Self::Twice => "there twice",
            Self::Contradicts => "contradicts itself",
            Self::WrongType => "of another type than its name promises",
            Self::MissingLabel => "without a label that it needs",
            Self::UnknownName => "about something that the fleet file does not have there",
            Self::TooMany => "more series than there can be",
            Self::BadLine => "not Prometheus' text format",
            Self::Nothing => "nothing that is known or asked for",
            Self::Stale => "older than `signal_ttl`",
            Self::TooOften => "too soon after the one before",
        })
    }
}

/// Values of one metric that are not believed for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The metric or figure; `page`, `answer` or `push` for what is about the whole.
    pub metric: Cow<'static, str>,
    /// The reason.
    pub why: RefusalReason,
    /// How many.
    pub count: u64,
    /// The first of them, shortened.
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

/// Refusals while they are counted. Its size depends on the metrics that we know, or the fleet file names, not on what a source
/// makes up.
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

    /// The value, or nothing and a refusal.
    pub(super) fn believe<T>(
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

/// The beginning of what a source said, fit for a log line.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut escaped = text.escape_debug();
    let mut excerpt: String = escaped.by_ref().take(LONGEST).collect();
    if escaped.next().is_some() {
        excerpt.push('…');
    }
    excerpt
}
