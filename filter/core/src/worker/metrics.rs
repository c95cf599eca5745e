//! Counters and histograms, in Envoy's own statistics. Their labels stand in their names, from where Envoy's tag extraction
//! takes them (`meridian bootstrap` has the rules): `meridian_attempts;zone=eea;model=m;...`.

use super::Labels;
use crate::guard::Usage;
use crate::guard::load_report::LoadReport;
use crate::host::MetricKind::{Counter, Gauge, Histogram};
use crate::host::{Host, MetricKind};
use hashbrown::HashMap;
use meridian_policy::FallbackName;
use meridian_policy::chain::Member;
use meridian_policy::name::stat;

/// Metrics that differ in their labels' values alone.
#[derive(Debug)]
pub struct Family {
    /// What they show.
    pub kind: MetricKind,
    /// Their name without labels.
    pub name: &'static str,
    /// The names of their labels, in their order in a metric's name.
    pub labels: &'static [&'static str],
}

const fn family(kind: MetricKind, name: &'static str, labels: &'static [&'static str]) -> Family {
    Family { kind, name, labels }
}

/// All metrics. Some hosts must know them before the first request.
pub const FAMILIES: &[Family] = &[
    family(
        Counter,
        "meridian_attempts",
        &["zone", "model", "lane", "to", "outcome"],
    ),
    family(Histogram, "meridian_first_token_ms", &["model", "to"]),
    family(Counter, "meridian_tokens", &["zone", "model", "to", "what"]),
    family(Gauge, "meridian_load", &["model", "to", "what"]),
    family(Counter, "meridian_failures", &["model", "to", "what"]),
    family(Gauge, "meridian_breaker_open", &["model", "to"]),
    family(Counter, "meridian_over_budget", &["to", "what"]),
    family(Counter, "meridian_spent_microusd", &["to"]),
    family(Counter, "meridian_mismatched", &["what"]),
    family(Counter, "meridian_misplaced", &["to"]),
    family(Counter, "meridian_panics", &["what"]),
];

/// The ids of metrics in use, by name. Names come from the fleet, so there are few.
#[derive(Debug, Default)]
pub struct Metrics(HashMap<String, u32>);

impl Metrics {
    /// Counts an invalid answer with the status 200.
    pub fn failure(&mut self, host: &dyn Host, labels: &Labels, what: &str) {
        let (model, to) = (stat(&labels.model), &labels.to);
        let name = format!("meridian_failures;model={model};to={to};what={what}");
        self.count(host, name, 1);
    }

    /// Shows whether a pool's breaker is open.
    pub fn breaker(&mut self, host: &dyn Host, labels: &Labels, is_open: bool) {
        let (model, to) = (stat(&labels.model), &labels.to);
        let name = format!("meridian_breaker_open;model={model};to={to}");
        self.record(host, Gauge, name, u64::from(is_open));
    }

    /// Counts a request that a fallback's budget did not let through: `requests` or `usd`.
    pub fn over_budget(&mut self, host: &dyn Host, fallback: &FallbackName, what: &str) {
        let name = format!("meridian_over_budget;to={};what={what}", to(fallback));
        self.count(host, name, 1);
    }

    /// Counts what a fallback has cost, in billionths of a dollar.
    pub fn spent(&mut self, host: &dyn Host, fallback: &FallbackName, nanousd: u64) {
        let microusd = nanousd / 1000;
        if microusd > 0 {
            let name = format!("meridian_spent_microusd;to={}", to(fallback));
            self.count(host, name, microusd);
        }
    }

    /// Counts a request that was refused because parts of the configuration are of different fleet files: the `route` of this gateway, its
    /// `fallback`, or a `peer`.
    pub fn mismatch(&mut self, host: &dyn Host, part: &str) {
        self.count(host, format!("meridian_mismatched;what={part}"), 1);
    }

    /// Counts an answer that reports that it was made outside of its fallback's jurisdiction.
    pub fn jurisdiction_violation(&mut self, host: &dyn Host, fallback: &FallbackName) {
        self.count(host, format!("meridian_misplaced;to={}", to(fallback)), 1);
    }

    /// Counts a panic of a plugin, which ended a request.
    pub fn panic(&mut self, host: &dyn Host, plugin: &str) {
        self.count(host, format!("meridian_panics;what={plugin}"), 1);
    }

    fn count(&mut self, host: &dyn Host, name: String, count: u64) {
        // A request does not fail because it cannot be counted.
        if let Some(id) = self.id(host, Counter, name) {
            host.add_to_metric(id, count);
        }
    }

    fn record(&mut self, host: &dyn Host, kind: MetricKind, name: String, value: u64) {
        if let Some(id) = self.id(host, kind, name) {
            host.record_metric(id, value);
        }
    }

    fn id(&mut self, host: &dyn Host, kind: MetricKind, name: String) -> Option<u32> {
        if let Some(id) = self.0.get(&name) {
            return Some(*id);
        }
        let id = host.define_metric(kind, &name)?;
        self.0.insert(name, id);
        Some(id)
    }
}

/// What is counted of most requests.
impl Labels {
    /// Counts an attempt.
    pub fn count_attempt(&self, host: &dyn Host, outcome: &'static str) {
        let id = self.metric(host, Counter, ("attempts", outcome), || {
            let Self { zone, lane, to, .. } = self;
            let model = stat(&self.model);
            format!(
                "meridian_attempts;zone={zone};model={model};lane={lane};to={to};outcome={outcome}"
            )
        });
        if let Some(id) = id {
            host.add_to_metric(id, 1);
        }
    }

    /// Records the time to the first token of a streamed answer.
    pub fn record_first_token(&self, host: &dyn Host, milliseconds: u64) {
        let id = self.metric(host, Histogram, ("first_token_ms", ""), || {
            let (model, to) = (stat(&self.model), &self.to);
            format!("meridian_first_token_ms;model={model};to={to}")
        });
        if let Some(id) = id {
            host.record_metric(id, milliseconds);
        }
    }

    /// Counts the tokens of an answer, where it was made.
    pub fn count_tokens(&self, host: &dyn Host, usage: Usage) {
        for (what, count) in [
            ("prompt", usage.prompt()),
            ("completion", usage.completion),
            ("cached", usage.cached),
        ] {
            if count == 0 {
                continue;
            }
            let id = self.metric(host, Counter, ("tokens", what), || {
                let Self { zone, to, .. } = self;
                let model = stat(&self.model);
                format!("meridian_tokens;zone={zone};model={model};to={to};what={what}")
            });
            if let Some(id) = id {
                host.add_to_metric(id, count);
            }
        }
    }

    /// Shows the load that a server reported.
    pub fn show_load(&self, host: &dyn Host, load: LoadReport) {
        let percent = load.kv_cache.map(|ratio| ratio * 100.0);
        for (what, value) in [("waiting", load.waiting), ("kv_cache_percent", percent)] {
            let Some(value) = value else {
                continue;
            };
            let id = self.metric(host, Gauge, ("load", what), || {
                let (model, to) = (stat(&self.model), &self.to);
                format!("meridian_load;model={model};to={to};what={what}")
            });
            if let Some(id) = id {
                host.record_metric(id, value.round() as u64);
            }
        }
    }
}

fn to(fallback: &FallbackName) -> String {
    Member::Fallback(fallback.clone()).label()
}
