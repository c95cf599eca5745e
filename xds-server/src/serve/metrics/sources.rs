//! Metrics of signal sources.

use super::encode::{counters, gauges};
use crate::serve::report::{Report, SourceReport};
use meridian_planner::signal::Millis;
use prometheus_client::encoding::DescriptorEncoder;
use std::collections::BTreeMap;
use std::fmt;

/// Encodes age, failures and refused values of every source.
pub fn sources(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let all = || {
        let regions = report.regions.iter();
        regions.flat_map(|(region, of)| {
            of.sources.iter().map(move |(source, report)| {
                let labels = vec![("region", region.to_string()), ("source", source.clone())];
                (labels, report)
            })
        })
    };
    let ages = all().filter_map(|(labels, source)| Some((labels, age(report.at, source)?)));
    gauges(
        encoder,
        "meridian_source_age_seconds",
        "Time since a source was last understood",
        ages,
    )?;
    let by = |counts: fn(&SourceReport) -> &BTreeMap<String, u64>| {
        let each = all().flat_map(move |(labels, source)| {
            counts(source).iter().map(move |(reason, count)| {
                let mut labels = labels.clone();
                labels.push(("reason", reason.clone()));
                (labels, *count)
            })
        });
        each.collect::<Vec<_>>()
    };
    counters(
        encoder,
        "meridian_source_failures",
        "Looks at a source that failed",
        by(|source| &source.failures),
    )?;
    counters(
        encoder,
        "meridian_source_refused",
        "Values of a source that were not believed",
        by(|source| &source.refusals),
    )
}

fn age(now: Millis, source: &SourceReport) -> Option<f64> {
    source.heard.map(|heard| now.since(heard).as_secs_f64())
}
