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

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}
