//! Parses YAML into a [`RawFleet`]. Errors are written for the author of the file.

use super::problem::cut;
use serde::de::DeserializeOwned;
use serde_saphyr::{Error, MessageFormatter, NonFiniteFloatPolicy, UserMessageFormatter};

/// A file that is not YAML, or does not have the fields of a fleet file. The message has line, column and fix, but no excerpt of
/// the file, which could contain a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormError(String);

const SINGLE_VALUE: &str = "a single value belongs here";

/// Most characters of a message.
const LONGEST_MESSAGE: usize = 2000;

/// Parses a fleet file, up to the first error.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<T, FormError> {
    // Numbers that are not finite are problems of the fields that have them.
    let options = serde_saphyr::options! {
        with_snippet: false,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let message = cut(message(&error), LONGEST_MESSAGE);
        FormError(match error.location() {
            Some(at) => format!("line {}, column {}: {message}", at.line(), at.column()),
            None => message,
        })
    })
}

fn message(error: &Error) -> String {
    match error {
        Error::AliasError { error, .. } | Error::WithSnippet { error, .. } => message(error),
        Error::Eof { .. } => {
            "the file ends here; a fleet file needs at least `zones` and `regions`".into()
        }
        Error::MultipleDocuments { .. } => {
            "a second YAML document begins; a fleet file is one, remove `---` and what belongs to it".into()
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("this name");
            format!("`{key}` is here for the second time; remove one")
        }
        Error::SerdeUnknownField {
            field, expected, ..
        } => format!("there is no field `{field}` here; there are: {}", expected.join(", ")),
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => format!("`{variant}` is not possible here; write one of: {}", expected.join(", ")),
        Error::SerdeMissingField { field, .. } => format!("the field `{field}` is missing here"),
        other => value_message(other),
    }
}

/// The message for a value of the wrong type.
fn value_message(error: &Error) -> String {
    match error {
        Error::Unexpected { expected, .. } if expected.contains("mapping") => {
            "fields belong here (`name: value`)".into()
        }
        Error::Unexpected { expected, .. } if expected.contains("sequence") => {
            "a list belongs here, e.g. [a, b]".into()
        }
        Error::Unexpected { expected, .. } if expected.contains("scalar") => SINGLE_VALUE.into(),
        Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. } => SINGLE_VALUE.into(),
        Error::InvalidScalar { ty: "u16", .. } => "a port belongs here, 1 to 65535".into(),
        Error::InvalidScalar { ty, .. } => format!("a {ty} belongs here"),
        Error::NullIntoString { .. } => "a value is missing here".into(),
        other => UserMessageFormatter.format_message(other).into_owned(),
    }
}
