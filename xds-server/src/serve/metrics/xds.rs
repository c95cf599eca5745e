//! Metrics of connected Envoys, and of what was published to them.

use super::encode::{counters, gauges};
use crate::serve::report::{CountsReport, Report};
use prometheus_client::encoding::DescriptorEncoder;
use std::collections::BTreeMap;
use std::fmt;

/// Encodes the connected Envoys.
pub fn envoys(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut connected: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    let mut refusing: BTreeMap<(&str, &str, &str), f64> = BTreeMap::new();
    for envoy in &report.envoys {
        *connected
            .entry((&envoy.region, &envoy.protocol))
            .or_default() += 1.0;
        for (kind, _) in envoy.types.iter().filter(|(_, of)| of.nack.is_some()) {
            *refusing
                .entry((&envoy.region, &envoy.node, kind))
                .or_default() += 1.0;
        }
    }
    let connected = connected.into_iter().map(|((region, protocol), count)| {
        let labels = vec![
            ("region", region.to_owned()),
            ("protocol", protocol.to_owned()),
        ];
        (labels, count)
    });
    let refusing = refusing.into_iter().map(|((region, node, kind), count)| {
        let labels = vec![
            ("region", region.to_owned()),
            ("node", node.to_owned()),
            ("type", kind.to_owned()),
        ];
        (labels, count)
    });
    gauges(
        encoder,
        "meridian_envoys_connected",
        "Envoys that are connected",
        connected,
    )?;
    gauges(
        encoder,
        "meridian_envoy_refuses",
        "Envoys of a node id that refuse what they were sent last",
        refusing,
    )
}

/// Encodes the counters of publications and xDS responses.
pub fn counts(counts: &CountsReport, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for (name, help, count) in plain(counts) {
        counters(encoder, name, help, [(Vec::new(), count)])?;
    }
    counters(
        encoder,
        "meridian_planning_seconds",
        "Time that planning and publishing took",
        [(Vec::new(), counts.planning_seconds)],
    )?;
    let labelled = [
        (
            "meridian_xds_pushes",
            "Responses sent",
            "type",
            &counts.pushes,
        ),
        (
            "meridian_xds_acks",
            "Responses accepted",
            "type",
            &counts.acks,
        ),
        (
            "meridian_xds_nacks",
            "Responses refused",
            "type",
            &counts.nacks,
        ),
        (
            "meridian_xds_refused_streams",
            "Streams refused",
            "reason",
            &counts.refused_streams,
        ),
    ];
    for (name, help, label, values) in labelled {
        let values = values
            .iter()
            .map(|(value, count)| (vec![(label, value.clone())], *count));
        counters(encoder, name, help, values)?;
    }
    Ok(())
}

/// Counters without labels: names, help, values.
fn plain(counts: &CountsReport) -> [(&'static str, &'static str, u64); 5] {
    [
        (
            "meridian_publications",
            "Publications that changed something",
            counts.publications,
        ),
        (
            "meridian_publications_refused",
            "Publications that were not made: residency could not be shown",
            counts.unpublished,
        ),
        (
            "meridian_fleet_file_reloads",
            "Edits of the fleet file that were taken",
            counts.reloads,
        ),
        (
            "meridian_fleet_file_bad_edits",
            "Edits of the fleet file that were not taken",
            counts.bad_edits,
        ),
        (
            "meridian_plans_skipped",
            "Times at which nothing was planned: what came before took longer than until then",
            counts.skipped,
        ),
    ]
}
