//! The fleet file: YAML in, a [`Fleet`] that cannot contradict itself out, or every problem with its place and fix.

mod check;
mod field;
mod form;
mod problem;
mod raw;

pub use form::FormError;
pub use problem::Problem;
pub use raw::RawFleet;

use meridian_policy::Fleet;
use std::path::Path;

/// Why there is no fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It is not YAML of the right form. Names line, column and field.
    #[error("{0}")]
    Form(#[from] FormError),
    /// It contradicts itself. One line per problem.
    #[error("{}", lines(.0))]
    Problems(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(Problem::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Reads and checks a fleet file.
pub fn load(file: &Path) -> Result<Fleet, FleetError> {
    parse(&std::fs::read_to_string(file)?)
}

/// Checks the text of a fleet file.
pub fn parse(text: &str) -> Result<Fleet, FleetError> {
    let raw: RawFleet = form::read(text)?;
    check::check(raw).map_err(FleetError::Problems)
}

/// The JSON Schema of the fleet file.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(RawFleet).to_value()
}

#[cfg(test)]
mod tests;
