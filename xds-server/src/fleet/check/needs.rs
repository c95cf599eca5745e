//! Requests that need fresh data.

use super::Check;
use crate::fleet::field;
use meridian_policy::Fleet;

/// The place in the file.
const AT: &str = "policy.needs.header";

impl Check {
    pub(super) fn needs_header(&mut self, raw: Option<String>) -> Option<String> {
        raw.and_then(|name| self.at(AT, field::header_name(&name)))
    }

    /// The header must not be a zone source, whose values are different.
    pub(super) fn needs_say_no_zone(&mut self, fleet: &Fleet) {
        let mut sources = fleet.sources.iter();
        if let Some(name) = &fleet.needs_header
            && sources.any(|source| source.header == *name)
        {
            let message = format!("`{name}` tells callers' zones, by `classify`; use another name");
            self.problem(AT, message);
        }
    }
}
