//! Metrics of pools.

use super::encode::{Labels, gauges};
use crate::serve::report::{PoolReport, Report};
use meridian_planner::state::PoolSignals;
use meridian_policy::{ModelName, RegionName};
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;

/// A gauge that a pool has if the signal is known.
struct SignalGauge {
    name: &'static str,
    help: &'static str,
    value: fn(&PoolSignals) -> Option<f64>,
}

const SIGNALS: [SignalGauge; 8] = [
    SignalGauge {
        name: "meridian_pool_utilization",
        help: "Utilization of a pool, 1 is full",
        value: |signals| signals.utilization.map(|utilization| utilization.now),
    },
    SignalGauge {
        name: "meridian_pool_waiting_requests",
        help: "Requests that wait in a pool",
        value: |signals| signals.waiting,
    },
    SignalGauge {
        name: "meridian_pool_running_requests",
        help: "Requests in work in a pool",
        value: |signals| signals.running,
    },
    SignalGauge {
        name: "meridian_pool_kv_cache_usage",
        help: "KV-cache in use, a ratio",
        value: |signals| signals.kv_cache,
    },
    SignalGauge {
        name: "meridian_pool_first_token_p95_seconds",
        help: "95th percentile of the time to the first token",
        value: |signals| signals.first_token_p95,
    },
    SignalGauge {
        name: "meridian_pool_error_rate",
        help: "Failures among answers, a ratio",
        value: |signals| signals.error_rate,
    },
    SignalGauge {
        name: "meridian_replication_lag_seconds",
        help: "How far the data store of a pool's region is behind",
        value: |signals| signals.replication_lag,
    },
    SignalGauge {
        name: "meridian_gpu_busy",
        help: "GPUs of a pool's region with a kernel running, a ratio",
        value: |signals| signals.gpu.busy,
    },
];

/// Encodes the metrics of all pools.
pub fn pools(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for SignalGauge { name, help, value } in &SIGNALS {
        let known = each(report).filter_map(|(region, model, pool)| {
            Some((labels(region, model), value(&pool.signals)?))
        });
        gauges(encoder, name, help, known)?;
    }
    let demand = each(report).flat_map(|(region, model, pool)| {
        pool.demand.iter().map(move |(zone, rate)| {
            let mut labels = labels(region, model);
            labels.push(("zone", zone.to_string()));
            (labels, *rate)
        })
    });
    gauges(
        encoder,
        "meridian_demand_requests_per_second",
        "Requests that a region's own callers had its pool asked for first",
        demand,
    )?;
    let open = each(report)
        .map(|(region, model, pool)| (labels(region, model), f64::from(pool.batch) / 100.0));
    gauges(
        encoder,
        "meridian_pool_batch_open",
        "How much of what batch brings a pool takes, a ratio",
        open,
    )?;
    let reasons = each(report).flat_map(|(region, model, pool)| {
        pool.health.reasons.iter().map(move |reason| {
            let mut labels = labels(region, model);
            labels.push(("reason", reason.to_string()));
            (labels, 1.0)
        })
    });
    gauges(
        encoder,
        "meridian_pool_unhealthy",
        "1 for each reason why a pool is not healthy",
        reasons,
    )
}

fn each(report: &Report) -> impl Iterator<Item = (&RegionName, &ModelName, &PoolReport)> {
    report.regions.iter().flat_map(|(region, of)| {
        let pools = of.pools.iter();
        pools.map(move |(model, pool)| (region, model, pool))
    })
}

fn labels(region: &RegionName, model: &ModelName) -> Labels {
    vec![("region", region.to_string()), ("model", model.to_string())]
}
