//! Errors in a fleet file.

use std::fmt;

/// One error in a fleet file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// YAML path, e.g. `zones.eea.fallbacks[0]`.
    pub at: String,
    /// What is wrong and how to fix it.
    pub message: String,
}

/// Most characters of a place: a name that is far too long is not repeated whole.
const LONGEST_PLACE: usize = 400;
/// Most characters of a message.
const LONGEST_MESSAGE: usize = 2000;

impl Problem {
    /// A problem. Texts that are far too long are cut.
    pub fn new(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            at: cut(at.into(), LONGEST_PLACE),
            message: cut(message.into(), LONGEST_MESSAGE),
        }
    }
}

/// A text of at most about `most` characters: its middle is left out, since a message ends with the fix.
pub fn cut(text: String, most: usize) -> String {
    let start = text.char_indices().nth(most / 2);
    let end = text.char_indices().nth_back(most / 2);
    match (start, end) {
        (Some((start, _)), Some((end, _))) if start < end => {
            format!("{}...{}", &text[..start], &text[end..])
        }
        _ => text,
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}
