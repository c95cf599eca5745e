//! Requests of operators and their answers, as JSON.

use super::failure::Failure;
use crate::serve::store::Record;
use axum::http::StatusCode;
use meridian_planner::intent::Action;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// Longest time of an intent: a drain that lasts longer is an edit of the fleet file.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longest text of a person, in characters.
const LONGEST_TEXT: usize = 1000;
/// Most records in an answer.
pub const MOST_RECORDS: usize = 1000;
/// Largest number of a record: what all languages have as an integer of 64 bits.
const LARGEST_NUMBER: u64 = i64::MAX as u64;

/// A request for an intent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IntentRequest {
    /// What is wanted.
    pub action: Action,
    /// Who wants it.
    #[schema(
        max_length = 1000,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0\s][^\x00-\x1f\x7f-\x9f]*$"
    )]
    pub by: String,
    /// Why.
    #[schema(
        max_length = 1000,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0\s][^\x00-\x1f\x7f-\x9f]*$"
    )]
    pub why: String,
    /// How long it lasts, e.g. `90m` or `2h`. At most 30 days.
    #[serde(rename = "for", default = "an_hour", with = "humantime_serde")]
    #[schema(value_type = String, default = "1h", pattern = "^[1-9][0-9]{0,6}(s|m|h|days)$")]
    pub lasts: Duration,
    /// It is accepted although a zone would be without a region, or the others without room. The record says so.
    #[serde(default)]
    pub force: bool,
}

/// How long an intent lasts if nothing else is said.
pub const AN_HOUR: Duration = Duration::from_secs(3600);

fn an_hour() -> Duration {
    AN_HOUR
}

/// A request to undo an intent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoRequest {
    /// Who wants it.
    #[schema(
        max_length = 1000,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0\s][^\x00-\x1f\x7f-\x9f]*$"
    )]
    pub by: String,
    /// Why.
    #[schema(
        max_length = 1000,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\xa0\s][^\x00-\x1f\x7f-\x9f]*$"
    )]
    pub why: String,
}

/// Records of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Audit {
    /// The records, the oldest first.
    pub records: Vec<Record>,
    /// The first of them that was changed after it was written, or follows one that is missing.
    #[serde(default)]
    pub broken_at: Option<u64>,
}

/// Which records are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Which {
    /// Those after this number.
    #[serde(default)]
    #[param(required = false, maximum = 9_223_372_036_854_775_807_i64)]
    pub after: u64,
    /// At most so many.
    #[serde(default = "most_records")]
    #[param(required = false, minimum = 1, maximum = 1000)]
    pub limit: usize,
}

fn most_records() -> usize {
    MOST_RECORDS
}

/// Which plans are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WhichPlans {
    /// Those after this number; without it the last ones.
    #[param(
        required = false,
        nullable = false,
        maximum = 9_223_372_036_854_775_807_i64
    )]
    pub after: Option<u64>,
    /// At most so many.
    #[serde(default = "some_plans")]
    #[param(required = false, minimum = 1, maximum = 1000)]
    pub limit: usize,
}

/// Plans in an answer, if nothing else is said.
pub const SOME_PLANS: usize = 100;

fn some_plans() -> usize {
    SOME_PLANS
}

impl IntentRequest {
    /// Checks what its schema says.
    pub(super) fn checked(self) -> Result<Self, Failure> {
        if self.lasts.is_zero() || self.lasts > LONGEST {
            return Err(invalid("for: write a time from 1s to 30days"));
        }
        Ok(Self {
            by: text("by", &self.by)?,
            why: text("why", &self.why)?,
            ..self
        })
    }
}

impl UndoRequest {
    /// Checks what its schema says.
    pub(super) fn checked(self) -> Result<Self, Failure> {
        Ok(Self {
            by: text("by", &self.by)?,
            why: text("why", &self.why)?,
        })
    }
}

impl Which {
    /// Checks what its schema says.
    pub(super) fn checked(self) -> Result<Self, Failure> {
        check_page(self.after, self.limit)?;
        Ok(self)
    }
}

impl WhichPlans {
    /// Checks what its schema says.
    ///
    /// # Errors
    ///
    /// A parameter is out of bounds.
    pub fn checked(self) -> Result<Self, Failure> {
        check_page(self.after.unwrap_or_default(), self.limit)?;
        Ok(self)
    }
}

fn check_page(after: u64, limit: usize) -> Result<(), Failure> {
    let wrong = |error: String| Err(Failure::new(StatusCode::BAD_REQUEST, error));
    if after > LARGEST_NUMBER {
        return wrong(format!("after: write 0 to {LARGEST_NUMBER}"));
    }
    if !(1..=MOST_RECORDS).contains(&limit) {
        return wrong(format!("limit: write 1 to {MOST_RECORDS}"));
    }
    Ok(())
}

fn text(field: &str, text: &str) -> Result<String, Failure> {
    let text = text.trim();
    let is_long = text.chars().count() > LONGEST_TEXT;
    if text.is_empty() || is_long || text.chars().any(char::is_control) {
        return Err(invalid(&format!(
            "{field}: write 1 to {LONGEST_TEXT} characters of text, on one line"
        )));
    }
    Ok(text.to_owned())
}

fn invalid(error: &str) -> Failure {
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, error)
}
