//! Metrics of traffic: the planned placements and the counted attempts.

use super::encode::{Labels, counters, gauges};
use crate::serve::report::Report;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;

/// Encodes home shares and overflow weights.
pub fn placements(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut shares: Vec<(Labels, f64)> = Vec::new();
    let mut weights = Vec::new();
    for (gateway, zones) in &report.placements {
        for (zone, models) in zones {
            for (model, placement) in models {
                let labels = vec![
                    ("gateway", gateway.to_string()),
                    ("zone", zone.to_string()),
                    ("model", model.to_string()),
                ];
                for (region, weight) in &placement.overflow {
                    let mut labels = labels.clone();
                    labels.push(("region", region.to_string()));
                    weights.push((labels, f64::from(*weight)));
                }
                shares.push((labels, f64::from(placement.home_share) / 100.0));
            }
        }
    }
    gauges(
        encoder,
        "meridian_home_share",
        "Part of a zone's requests that the first region keeps",
        shares,
    )?;
    gauges(
        encoder,
        "meridian_overflow_weight",
        "Weight of another region for what the first does not keep",
        weights,
    )
}

/// Encodes the attempts that gateways have counted.
pub fn attempts(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let regions = report.regions.iter();
    let each = regions.flat_map(|(region, of)| of.attempts.iter().map(move |it| (region, it)));
    let values = each.flat_map(|(region, it)| {
        let outcomes = [
            ("answered", it.counts.answered),
            ("overloaded", it.counts.overloaded),
            ("failed", it.counts.failed),
            ("broken", it.counts.broken),
        ];
        outcomes.map(|(outcome, count)| {
            let labels = vec![
                ("region", region.to_string()),
                ("gateway", it.gateway.clone()),
                ("zone", it.zone.to_string()),
                ("model", it.model.to_string()),
                ("lane", it.lane.as_str().to_owned()),
                ("to", it.to.to_string()),
                ("outcome", outcome.to_owned()),
            ];
            // Whole numbers, as counters are.
            (labels, count as u64)
        })
    });
    counters(
        encoder,
        "meridian_attempts",
        "Attempts that a gateway has made since it began",
        values,
    )
}
