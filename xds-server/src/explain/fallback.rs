//! Whether a fallback takes a request: the egress filter's own code says it.

use super::explanation::MemberReport;
use super::place::{FallbackRequest, Place};
use meridian_filter_core::claude::Ask;
use meridian_filter_core::egress::{EgressMode, Restriction, mode};
use meridian_planner::plugins::egress_policy;
use meridian_policy::FallbackName;
use meridian_policy::egress_policy::{Budget, EgressPolicy};

/// Billionths of a US dollar in one.
const NANO: f64 = 1e9;

impl Place<'_> {
    /// A fallback: what it is, its part of the budget, and what it would refuse.
    pub(super) fn fallback(&self, name: &FallbackName, label: String) -> MemberReport {
        let mut report = MemberReport {
            member: label,
            serves: true,
            state: Vec::new(),
            passed_over: None,
            refuses: None,
        };
        let fallback = self.topology.fallbacks.get(name);
        let zone = self.topology.zones.get(self.zone);
        let (Some(fallback), Some(zone)) = (fallback, zone) else {
            return report;
        };
        let zones = [(self.definition.clone(), zone)].into();
        let policy = egress_policy(self.topology, name, fallback, &zones);
        let places: Vec<&str> = fallback.jurisdiction.iter().map(String::as_str).collect();
        report.state = vec![format!("processes in {}", places.join(", "))];
        report.state.extend(budget(policy.budget));
        match mode(&policy, self.request.path) {
            Ok(mode) => report.refuses = self.refusal(&policy, mode),
            Err(refusal) => report.passed_over = Some(refusal.message().to_owned()),
        }
        report
    }

    /// Why a fallback refuses the body. The request ends there: no other member would take it either.
    fn refusal(&self, policy: &EgressPolicy, mode: EgressMode<'_>) -> Option<String> {
        let FallbackRequest {
            path,
            version,
            betas,
            body,
        } = self.request;
        let body = body?.as_bytes();
        let restriction = Restriction::of(policy, mode, self.definition.as_str());
        let restriction = match restriction {
            Ok(restriction) => restriction,
            Err(refusal) => return Some(refusal.message().to_owned()),
        };
        if let Some(Err(violation)) = restriction.map(|it| it.check(path, body)) {
            return Some(format!("400: the field {violation}"));
        }
        let EgressMode::Claude(claude, api) = mode else {
            return None;
        };
        let ask = Ask {
            api,
            version,
            betas,
            claude,
            fallback: &policy.fallback,
        };
        let invalid = ask.translate(body.to_vec()).err()?;
        Some(format!("{}: {}", invalid.status, invalid.message))
    }
}

/// The gateway's part of a budget. What is left of it, only the gateway knows.
fn budget(budget: Budget) -> Vec<String> {
    let requests = budget
        .requests
        .map(|requests| format!("{requests} requests a minute"));
    let dollars = budget.nanousd.map(|nanousd| nanousd as f64 / NANO);
    let dollars = dollars.map(|dollars| format!("{dollars} US dollars an hour"));
    let parts = requests.into_iter().chain(dollars);
    parts
        .map(|part| format!("this gateway's part of the budget is {part}"))
        .collect()
}
