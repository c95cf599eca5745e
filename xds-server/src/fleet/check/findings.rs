//! Findings: what is refused unless the file accepts it by name. A name that accepts nothing is refused too, so that none outlives its
//! reason.

use super::{Accepted, Check, Problem};
use crate::fleet::raw::{Finding, RawFleet};

impl Check {
    /// Reads what the file accepts.
    pub(super) fn read_accepted(&mut self, raw: &RawFleet) {
        for (name, zone) in &raw.zones {
            self.accept(format!("zones.{name}"), &zone.accept);
        }
        for (index, source) in raw.classify.iter().enumerate() {
            self.accept(format!("classify[{index}]"), &source.accept);
        }
        for (region, of) in &raw.regions {
            for (model, pool) in &of.pools {
                self.accept(format!("regions.{region}.pools.{model}"), &pool.accept);
            }
        }
        for (name, fallback) in &raw.fallbacks {
            self.accept(format!("fallbacks.{name}"), &fallback.accept);
        }
    }

    fn accept(&mut self, place: String, findings: &[impl Finding]) {
        self.accepted
            .extend(findings.iter().map(|finding| Accepted {
                place: place.clone(),
                name: finding.name(),
                found: None,
            }));
    }

    /// Reports a finding in a field of a place, unless the file accepts it there.
    pub(super) fn finding(
        &mut self,
        place: &str,
        field: &str,
        finding: impl Finding,
        message: &str,
    ) {
        let name = finding.name();
        let at = format!("{place}.{field}");
        let is_same = |accepted: &&mut Accepted| accepted.place == place && accepted.name == name;
        match self.accepted.iter_mut().find(is_same) {
            Some(accepted) => {
                let message = format!("{name}: {message}");
                accepted.found = Some(Problem { at, message });
            }
            None => {
                let fix = format!("or insist by `accept: [{name}]` under `{place}`");
                self.problem(at, format!("{name}: {message}, {fix}"));
            }
        }
    }

    /// Reports names that accept nothing.
    pub(super) fn all_accepted_is_found(&mut self) {
        for accepted in std::mem::take(&mut self.accepted) {
            match accepted.found {
                Some(found) => self.warnings.push(found),
                None => {
                    let message = format!(
                        "there is no `{}` here to accept, or it is listed twice; remove it",
                        accepted.name
                    );
                    self.problem(format!("{}.accept", accepted.place), message);
                }
            }
        }
    }
}
