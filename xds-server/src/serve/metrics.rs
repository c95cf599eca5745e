//! The report as a page of metrics.

mod certificates;
mod encode;
mod pools;
mod replicas;
mod sources;
mod traffic;
mod xds;

use super::certificates::CONTROL_PLANE;
use super::report::Report;
use certificates::certificates;
use encode::gauges;
use meridian_planner::alarm::AlarmKind;
use meridian_planner::intent::Action;
use meridian_policy::RegionName;
use pools::pools;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;
use replicas::replicas;
use sources::sources;
use std::collections::BTreeSet;
use std::fmt;
use traffic::{attempts, placements};
use xds::{counts, envoys};

/// The content type of OpenMetrics' text format.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The page of metrics, as text.
pub fn page(report: Report) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(report)));
    let mut page = String::new();
    // Writing into a String cannot fail.
    let _ = text::encode(&mut page, &registry);
    page
}

#[derive(Debug)]
struct Page(Report);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let report = &self.0;
        pools(report, &mut encoder)?;
        placements(report, &mut encoder)?;
        data(report, &mut encoder)?;
        attempts(report, &mut encoder)?;
        sources(report, &mut encoder)?;
        envoys(report, &mut encoder)?;
        counts(&report.counts, &mut encoder)?;
        certificates(report, &mut encoder)?;
        let flags = [
            (
                "meridian_fleet_file_error",
                "1 while the fleet file is not in force as it is written",
                report.fleet.error.is_some(),
            ),
            (
                "meridian_plan_not_published",
                "1 while the plan cannot be published; the one before it stays",
                report.unpublished.is_some(),
            ),
            (
                "meridian_certificate_files_error",
                "1 while the control plane's certificate files are not in force; those before stay",
                report.certificates.error.is_some(),
            ),
            (
                "meridian_operators_file_error",
                "1 while the file of operators is not in force; the operators before stay",
                report.api.as_ref().is_some_and(|api| api.error.is_some()),
            ),
        ];
        for (name, help, flag) in flags {
            let value = f64::from(u8::from(flag));
            gauges(&mut encoder, name, help, [(Vec::new(), value)])?;
        }
        replicas(report, &mut encoder)?;
        intents(report, &mut encoder)?;
        alarms(report, &mut encoder)
    }
}

fn intents(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let each = Action::KINDS.map(|kind| {
        let those = report.intents.active(report.at);
        let those = those.filter(|(_, intent)| intent.action.kind() == kind);
        (vec![("kind", kind.to_owned())], those.count() as f64)
    });
    gauges(
        encoder,
        "meridian_intents",
        "What operators have said and is in force",
        each,
    )
}

fn alarms(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut regions: BTreeSet<&str> = report.regions.keys().map(RegionName::as_str).collect();
    regions.insert(CONTROL_PLANE);
    let each = regions.into_iter().flat_map(|region| {
        AlarmKind::ALL.map(|kind| {
            let those = report.alarms.iter();
            let those = those.filter(|alarm| alarm.region.as_str() == region && alarm.kind == kind);
            let labels = vec![
                ("region", region.to_string()),
                ("kind", kind.label().to_owned()),
            ];
            (labels, those.count() as f64)
        })
    });
    gauges(
        encoder,
        "meridian_alarms",
        "Things that a person should look at; `meridian status` says what they are",
        each,
    )
}

fn data(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let behind = report.regions.iter().map(|(region, of)| {
        let labels = vec![("region", region.to_string())];
        (labels, f64::from(u8::from(of.data.behind)))
    });
    gauges(
        encoder,
        "meridian_data_behind",
        "1 while a region's data is too far behind",
        behind,
    )?;
    let serves = report.regions.iter().filter_map(|(region, of)| {
        let by = of.data.serves.as_ref()?.to_string();
        Some((vec![("region", region.to_string()), ("by", by)], 1.0))
    });
    gauges(
        encoder,
        "meridian_retrieval_served",
        "1 for the region whose vector database serves what is retrieved in a region",
        serves,
    )
}
