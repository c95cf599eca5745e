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
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is not YAML of the right form. Names line, column and field.
    #[error(transparent)]
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

/// The error of a fleet file as text for a person: a summary in the first line, then one line for each place and fix.
pub fn load_error(file: &Path, error: &FleetError) -> String {
    let (summary, details) = match error {
        FleetError::Io(error) => ("cannot be read".to_owned(), vec![error.to_string()]),
        FleetError::Form(error) => ("not a fleet file".to_owned(), vec![error.to_string()]),
        FleetError::Problems(problems) => {
            let count = match problems.len() {
                1 => "1 problem".to_owned(),
                count => format!("{count} problems"),
            };
            let details = problems.iter().map(Problem::to_string).collect();
            (format!("not a valid fleet file: {count}"), details)
        }
    };
    let mut text = format!("{}: {summary}", file.display());
    for line in details {
        text.push_str("\n  ");
        text.push_str(&line);
    }
    text
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
