//! Requests that need fresh data: how they say so.

use super::Check;
use crate::fleet::field;
use meridian_policy::Fleet;
use meridian_policy::headers::NEEDS;

/// Where the file says it.
const AT: &str = "policy.needs.header";

impl Check {
    pub(super) fn needs_header(&mut self, raw: Option<String>) -> String {
        let own = raw.filter(|name| !name.eq_ignore_ascii_case(NEEDS));
        let own = own.and_then(|name| self.at(AT, field::header_name(&name)));
        own.unwrap_or_else(|| NEEDS.to_owned())
    }

    /// A header that gives a caller's zone has other values.
    pub(super) fn needs_say_no_zone(&mut self, fleet: &Fleet) {
        let name = &fleet.needs_header;
        if fleet.sources.iter().any(|source| source.header == *name) {
            let message = format!("`{name}` tells callers' zones, by `classify`; use another name");
            self.problem(AT, message);
        }
    }
}
