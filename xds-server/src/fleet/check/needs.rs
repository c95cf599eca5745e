//! Requests that need fresh data: how they say so.

use super::Check;
use crate::fleet::field;
use meridian_policy::Fleet;

/// Where the file says it.
const AT: &str = "policy.needs.header";

impl Check {
    pub(super) fn needs_header(&mut self, raw: Option<String>) -> Option<String> {
        raw.and_then(|name| self.at(AT, field::header_name(&name)))
    }

    /// A header that gives a caller's zone has other values.
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
