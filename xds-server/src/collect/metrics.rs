//! Reads pages whose metrics the fleet file maps to figures.

use super::figures::{FigureReader, FigureSample, engine};
use super::interpreted::Interpreted;
use super::page::{MetricType, Page, Sample};
use super::refused::RefusalReason;
use super::samples::samples_of_type;
use meridian_policy::ModelName;
use meridian_policy::source::{Figure, Metric, SignalSource};
use std::collections::{BTreeMap, BTreeSet};

/// Reads a page. `pools` are the models that the source's region has.
pub(super) fn read(
    page: &Page<'_>,
    signal: &SignalSource,
    (metrics, model_label): (&BTreeMap<Figure, Metric>, &str),
    pools: &BTreeSet<ModelName>,
) -> Interpreted {
    let mut reader = FigureReader::new(signal, pools);
    if let Some((count, first)) = page.bad_lines() {
        reader
            .refusals
            .add_many("page", RefusalReason::BadLine, *count, first);
    }
    for (figure, metric) in metrics {
        let kind = if figure.is_counter() {
            MetricType::Counter
        } else {
            MetricType::Gauge
        };
        let name = metric.name.clone();
        for sample in samples_of_type(page, name, kind, &mut reader.refusals) {
            let has = |(label, value): (&String, &String)| sample.label(label) == Some(value);
            if !metric.labels.iter().all(has) {
                continue;
            }
            let figure_sample = FigureSample {
                figure: *figure,
                metric: metric.name.clone().into(),
                model: sample.label(model_label),
                engine: if figure.is_counter() {
                    String::new()
                } else {
                    engine(others(sample, metric, model_label))
                },
                value: sample.value * metric.scale,
            };
            reader.add(figure_sample, sample);
        }
    }
    let mut names = metrics.values().map(|metric| metric.name.as_str());
    if names.clone().all(|name| page.samples(name).is_empty()) {
        let names: Vec<&str> = names.by_ref().collect();
        reader
            .refusals
            .add("page", RefusalReason::Nothing, &names.join(", "));
    }
    reader.finish()
}

/// The labels that identify an engine.
fn others<'s>(
    sample: &'s Sample<'_>,
    metric: &'s Metric,
    model_label: &'s str,
) -> impl Iterator<Item = (&'s str, &'s str)> {
    let is_other = move |name: &str| name != model_label && !metric.labels.contains_key(name);
    sample.labels().filter(move |(name, _)| is_other(name))
}
