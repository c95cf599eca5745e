//! The fleet file: parses YAML into a consistent [`Fleet`], or reports every problem with its place and fix.

mod check;
mod field;
mod form;
mod host;
mod problem;
mod raw;
mod values;

pub use check::Checked;
pub use form::FormError;
pub use problem::Problem;
pub use raw::RawFleet;

use meridian_policy::Fleet;
use std::path::Path;

/// Why a fleet file is rejected.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is not YAML, or a field is wrong. The message has line, column and field.
    #[error(transparent)]
    Form(#[from] FormError),
    /// Values are wrong or contradict each other.
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

/// The error of a fleet file for a person: a summary in the first line, then one line per problem with place and fix.
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
///
/// # Errors
///
/// If the file cannot be read or is not valid. [`load_error`] formats the error.
pub fn load(file: &Path) -> Result<Fleet, FleetError> {
    load_checked(file).map(|checked| checked.fleet)
}

/// Reads and checks a fleet file, with the findings that it accepts.
///
/// # Errors
///
/// If the file cannot be read or is not valid.
pub fn load_checked(file: &Path) -> Result<Checked, FleetError> {
    parse_checked(&std::fs::read_to_string(file)?)
}

/// Parses and checks the text of a fleet file.
///
/// # Errors
///
/// If it is not valid.
pub fn parse(text: &str) -> Result<Fleet, FleetError> {
    parse_checked(text).map(|checked| checked.fleet)
}

/// Parses and checks the text of a fleet file, with the findings that it accepts.
///
/// # Errors
///
/// If it is not valid.
pub fn parse_checked(text: &str) -> Result<Checked, FleetError> {
    let raw: RawFleet = form::read(text)?;
    let values: values::Values = form::read(text)?;
    let mut problems = values.missing();
    match check::check(raw) {
        Ok(checked) if problems.is_empty() => return Ok(checked),
        Ok(_) => {}
        Err(others) => problems.extend(others),
    }
    Err(FleetError::Problems(problems))
}

/// The JSON Schema of the fleet file.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(RawFleet).to_value()
}

#[cfg(test)]
mod tests;
