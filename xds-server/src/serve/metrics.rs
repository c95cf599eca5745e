//! The report as a page of metrics.

use super::report::{CountsReport, Report, SourceReport};
use meridian_planner::plan::AlarmKind;
use meridian_planner::signal::Millis;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;

/// OpenMetrics' text format.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The page.
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

type Labels = Vec<(&'static str, String)>;

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
        ];
        for (name, help, flag) in flags {
            let value = f64::from(u8::from(flag));
            gauges(&mut encoder, name, help, [(Vec::new(), value)])?;
        }
        alarms(report, &mut encoder)
    }
}

fn alarms(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let regions = report.regions.keys();
    let each = regions.flat_map(|region| {
        AlarmKind::ALL.map(|kind| {
            let those = report.alarms.iter();
            let those = those.filter(|alarm| alarm.region == *region && alarm.kind == kind);
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

fn pools(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let of = |value: fn(&meridian_planner::state::PoolSignals) -> Option<f64>| {
        let regions = report.regions.iter();
        let pools = regions.flat_map(|(region, of)| {
            of.pools
                .iter()
                .map(move |(model, pool)| (region, model, pool))
        });
        let known = pools.filter_map(|(region, model, pool)| {
            let labels = vec![("region", region.to_string()), ("model", model.to_string())];
            Some((labels, value(&pool.signals)?))
        });
        known.collect::<Vec<(Labels, f64)>>()
    };
    gauges(
        encoder,
        "meridian_pool_utilization",
        "Utilization of a pool, 1 is full",
        of(|signals| signals.utilization.map(|utilization| utilization.now)),
    )?;
    gauges(
        encoder,
        "meridian_pool_waiting_requests",
        "Requests that wait in a pool",
        of(|signals| signals.waiting),
    )?;
    gauges(
        encoder,
        "meridian_pool_running_requests",
        "Requests in work in a pool",
        of(|signals| signals.running),
    )?;
    gauges(
        encoder,
        "meridian_pool_kv_cache_usage",
        "KV-cache in use, a ratio",
        of(|signals| signals.kv_cache),
    )?;
    gauges(
        encoder,
        "meridian_pool_first_token_p95_seconds",
        "95th percentile of the time to the first token",
        of(|signals| signals.first_token_p95),
    )?;
    gauges(
        encoder,
        "meridian_pool_error_rate",
        "Failures among answers, a ratio",
        of(|signals| signals.error_rate),
    )?;
    gauges(
        encoder,
        "meridian_replication_lag_seconds",
        "How far the data store of a pool's region is behind",
        of(|signals| signals.replication_lag),
    )?;
    gauges(
        encoder,
        "meridian_gpu_busy",
        "GPUs of a pool's region with a kernel running, a ratio",
        of(|signals| signals.gpu.busy),
    )?;
    let mut demand: Vec<(Labels, f64)> = Vec::new();
    let (mut reasons, mut gates) = (Vec::new(), Vec::new());
    for (region, of) in &report.regions {
        for (model, pool) in &of.pools {
            for (zone, rate) in &pool.demand {
                let labels = vec![
                    ("region", region.to_string()),
                    ("model", model.to_string()),
                    ("zone", zone.to_string()),
                ];
                demand.push((labels, *rate));
            }
            let labels = vec![("region", region.to_string()), ("model", model.to_string())];
            gates.push((labels, f64::from(pool.batch) / 100.0));
            for reason in &pool.health.reasons {
                let reason = reason.to_string();
                let labels = vec![
                    ("region", region.to_string()),
                    ("model", model.to_string()),
                    ("reason", reason),
                ];
                reasons.push((labels, 1.0));
            }
        }
    }
    gauges(
        encoder,
        "meridian_demand_requests_per_second",
        "Requests that a region's own callers had its pool asked for first",
        demand,
    )?;
    gauges(
        encoder,
        "meridian_pool_batch_open",
        "How much of what batch brings a pool takes, a ratio",
        gates,
    )?;
    gauges(
        encoder,
        "meridian_pool_unhealthy",
        "1 for each reason why a pool is not healthy",
        reasons,
    )
}

fn placements(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
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

fn attempts(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let regions = report.regions.iter();
    let each = regions.flat_map(|(region, of)| of.attempts.iter().map(move |it| (region, it)));
    let values = each.flat_map(|(region, it)| {
        let outcomes = [
            ("answered", it.counts.answered),
            ("overloaded", it.counts.overloaded),
            ("failed", it.counts.failed),
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

fn sources(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
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

fn envoys(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
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

fn counts(counts: &CountsReport, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let plain = [
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
    ];
    for (name, help, count) in plain {
        counters(encoder, name, help, [(Vec::new(), count)])?;
    }
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

fn gauges(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Labels, f64)>,
) -> fmt::Result {
    let values = values
        .into_iter()
        .map(|(labels, value)| (labels, ConstGauge::new(value)));
    family(encoder, name, help, values)
}

fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Labels, u64)>,
) -> fmt::Result {
    let values = values
        .into_iter()
        .map(|(labels, value)| (labels, ConstCounter::new(value)));
    family(encoder, name, help, values)
}

/// A family without values is left out.
fn family<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (Labels, M)>,
) -> fmt::Result {
    let mut values = values.peekable();
    let Some((_, first)) = values.peek() else {
        return Ok(());
    };
    let mut family: MetricEncoder<'_> =
        encoder.encode_descriptor(name, help, None, first.metric_type())?;
    for (labels, value) in values {
        value.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
