//! The content of a source: a preset, configured metrics, queries, or pushes.

use super::{Check, listed, region_at};
use crate::fleet::raw::{RawFigures, RawMetric, RawSignal};
use meridian_policy::Fleet;
use meridian_policy::source::{Figure, Metric, SignalFormat};
use std::collections::{BTreeMap, BTreeSet};

/// The default label of the model's name, as in vLLM and SGLang.
const MODEL_LABEL: &str = "model_name";
/// Longest name of a metric or label, and longest value of a label, in bytes.
const LONGEST_METRIC: usize = 256;
/// Largest factor of a metric's values, and its reciprocal the smallest.
const LARGEST_SCALE: f64 = 1e12;
/// Longest SPIFFE ID, in bytes: its specification's limit.
const LONGEST_ID: usize = 2048;
/// Longest query, in bytes.
const LONGEST_QUERY: usize = 4096;
const FAILURES_ALONE: &str = "a number of failures needs the number of all `answers`; give both";
/// Longest tenant name that Mimir accepts, in bytes.
const LONGEST_TENANT: usize = 150;

impl Check {
    /// Takes the content fields out of a source's entry.
    pub(super) fn tells(&mut self, at: &str, raw: &mut RawSignal) -> Option<SignalFormat> {
        if raw.figures.is_some() {
            let message = "belongs to `push`; what is read is listed under `metrics` or `queries`";
            self.problem(format!("{at}.figures"), message);
        }
        if raw.queries.is_none() && raw.tenant.is_some() {
            let message = "is sent with `queries` only; remove it";
            self.problem(format!("{at}.tenant"), message);
        }
        if raw.preset.is_some() && raw.model_label.is_some() {
            let message = "a preset defines its label; remove it";
            self.problem(format!("{at}.model_label"), message);
        }
        let label = raw.model_label.take();
        if let Some(label) = label.as_deref().filter(|label| !is_label(label)) {
            let message = format!("`{label}` is not a label's name; e.g. model_name");
            self.problem(format!("{at}.model_label"), message);
        }
        let model_label = label.unwrap_or_else(|| MODEL_LABEL.into());
        match (raw.preset, raw.metrics.take(), raw.queries.take()) {
            (Some(preset), None, None) => Some(SignalFormat::Preset(preset)),
            (None, Some(metrics), None) => Some(SignalFormat::Metrics {
                metrics: self.metrics(&format!("{at}.metrics"), metrics),
                model_label,
            }),
            (None, None, Some(queries)) => Some(SignalFormat::Queries {
                queries: self.queries(&format!("{at}.queries"), queries),
                model_label,
                tenant: self.tenant(at, raw.tenant.take()),
            }),
            _ => {
                let message = "give exactly one of `preset` (a known server or exporter), `metrics` (names of your own on the page) and \
                               `queries` (PromQL)";
                self.problem(at, message);
                None
            }
        }
    }

    /// Reports fields that only a source that pushes uses.
    pub(super) fn pushed(&mut self, at: &str, raw: &mut RawSignal) -> Option<SignalFormat> {
        let of_others = [
            ("preset", raw.preset.is_some()),
            ("metrics", raw.metrics.is_some()),
            ("queries", raw.queries.is_some()),
            ("model_label", raw.model_label.is_some()),
            ("tenant", raw.tenant.is_some()),
            ("token", raw.token.is_some()),
            ("tls", raw.tls.is_some()),
        ];
        for (field, _) in of_others.into_iter().filter(|(_, there)| *there) {
            let message = "has no effect for a source that pushes; remove it";
            self.problem(format!("{at}.{field}"), message);
        }
        let figures: BTreeSet<Figure> = raw.figures.take().into_iter().flatten().collect();
        if figures.is_empty() {
            let all = listed(Figure::ALL.map(Figure::as_str));
            let message = format!("is missing: list what it may push, of: {all}");
            self.problem(format!("{at}.figures"), message);
        }
        if figures.contains(&Figure::Failures) && !figures.contains(&Figure::Answers) {
            self.problem(format!("{at}.figures"), FAILURES_ALONE);
        }
        Some(SignalFormat::Pushed(figures))
    }

    /// A source that pushes needs a SPIFFE ID of the trust domain.
    pub(super) fn pushes_can_be_known(&mut self, fleet: &Fleet) {
        let prefix = format!("spiffe://{}/", fleet.trust_domain);
        for (name, region) in &fleet.regions {
            for (index, signal) in region.signals.iter().enumerate() {
                let path = signal.url.strip_prefix(&prefix).unwrap_or_default();
                let fine = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
                let is_sized = signal.url.len() <= LONGEST_ID;
                let is_path =
                    is_sized && !path.is_empty() && !path.ends_with('/') && path.chars().all(fine);
                if matches!(signal.format, SignalFormat::Pushed(_)) && !is_path {
                    let message = format!(
                        "`{}` is not a SPIFFE ID of the trust domain; write e.g. {prefix}source/loads",
                        signal.url
                    );
                    self.problem(
                        format!("{}.signals[{index}].push", region_at(name)),
                        message,
                    );
                }
            }
        }
    }

    fn metrics(&mut self, at: &str, raw: RawFigures<RawMetric>) -> BTreeMap<Figure, Metric> {
        let mut metrics = BTreeMap::new();
        for (figure, raw) in self.given(at, raw) {
            let at = format!("{at}.{}", figure.as_str());
            if !is_metric(&raw.name) {
                let message = format!(
                    "`{}` is not a metric's name; use letters, digits, `_` and `:`, e.g. my_server_running",
                    raw.name
                );
                self.problem(format!("{at}.name"), message);
            }
            for label in raw.labels.keys().filter(|label| !is_label(label)) {
                let message = format!("`{label}` is not a label's name");
                self.problem(format!("{at}.labels"), message);
            }
            if raw
                .labels
                .values()
                .any(|value| value.len() > LONGEST_METRIC)
            {
                let message = format!("a value has more than {LONGEST_METRIC} bytes; shorten it");
                self.problem(format!("{at}.labels"), message);
            }
            let scale = raw.scale.unwrap_or(1.0);
            if !(1.0 / LARGEST_SCALE..=LARGEST_SCALE).contains(&scale) {
                let message = format!(
                    "{scale} is not a number above 0, e.g. 0.01 for a percentage, or it is not between {:e} and {LARGEST_SCALE:e}",
                    1.0 / LARGEST_SCALE
                );
                self.problem(format!("{at}.scale"), message);
            }
            let metric = Metric {
                name: raw.name,
                labels: raw.labels,
                scale,
            };
            metrics.insert(figure, metric);
        }
        metrics
    }

    fn queries(&mut self, at: &str, raw: RawFigures<String>) -> BTreeMap<Figure, String> {
        let queries = self.given(at, raw);
        for (figure, query) in &queries {
            if query.trim().is_empty() || query.len() > LONGEST_QUERY {
                let message = format!(
                    "is not an expression; write PromQL of at most {LONGEST_QUERY} bytes, e.g. my_metric{{region=\"us-west-2\"}}"
                );
                self.problem(format!("{at}.{}", figure.as_str()), message);
            }
        }
        queries
    }

    /// Checks the listed figures: at least one, and none without another that it needs.
    fn given<T>(&mut self, at: &str, raw: RawFigures<T>) -> BTreeMap<Figure, T> {
        let given = raw.given();
        if given.is_empty() {
            let figures = listed(Figure::ALL.map(Figure::as_str));
            self.problem(at, format!("is empty; give at least one of: {figures}"));
        }
        if given.contains_key(&Figure::Failures) && !given.contains_key(&Figure::Answers) {
            self.problem(format!("{at}.failures"), FAILURES_ALONE);
        }
        given
    }

    fn tenant(&mut self, at: &str, tenant: Option<String>) -> Option<String> {
        let fine = |c: char| c.is_ascii_graphic();
        let tenant = tenant?;
        if tenant.is_empty() || tenant.len() > LONGEST_TENANT || !tenant.chars().all(fine) {
            let message = format!(
                "`{tenant}` is not a tenant; use letters, digits and punctuation, at most {LONGEST_TENANT}"
            );
            self.problem(format!("{at}.tenant"), message);
        }
        Some(tenant)
    }
}

fn is_metric(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    name.len() <= LONGEST_METRIC
        && name.starts_with(|c: char| !c.is_ascii_digit())
        && name.chars().all(fine)
}

fn is_label(name: &str) -> bool {
    is_metric(name) && !name.contains(':')
}
