//! The report as one HTML page with all tables and charts. It loads nothing from the network.

use super::table::{self, Table};
use super::{Report, chart};
use crate::results::RunMetrics;
use crate::strategy::Strategy;
use crate::study::CaseResult;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "body{font:15px/1.45 sans-serif;max-width:1180px;margin:2em auto;padding:0 1em;color:#222}\
.table{overflow-x:auto}table{border-collapse:collapse;font-size:12px;font-variant-numeric:tabular-nums}\
th,td{padding:.2em .6em;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}\
th:first-child,td:first-child{text-align:left}\
figure{display:inline-block;margin:0}svg{max-width:100%;height:auto}nav a{display:inline-block;margin-right:.8em}.bad{color:#a00}";

/// A chart of one metric: title, unit and value.
type Chart = (&'static str, &'static str, fn(&RunMetrics) -> f64);

const CHARTS: [Chart; 11] = [
    ("time to first token, P50", "s", |of| of.ttft[0]),
    ("time to first token, P95", "s", |of| of.ttft[1]),
    ("time to first token, P99", "s", |of| of.ttft[2]),
    ("latency, P50", "s", |of| of.latency[0]),
    ("latency, P95", "s", |of| of.latency[1]),
    ("latency, P99", "s", |of| of.latency[2]),
    ("requests within the SLO", "%", |of| {
        of.slo_attainment * 100.0
    }),
    ("served by the home region", "%", |of| {
        of.served_at_home * 100.0
    }),
    ("traffic between regions", "GB", |of| of.cross_region_gb),
    ("served by a fallback", "requests", |of| {
        of.fallback_requests
    }),
    ("fallback cost", "$", |of| of.fallback_cost),
];

/// The page.
///
/// # Errors
/// A chart cannot be drawn.
pub fn page(report: &Report) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let failures = report.gate.failures();
    let cases = report.cases.iter().map(case);
    let cases: Vec<Markup> = cases.collect::<Result<_, _>>()?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Meridian: decision quality" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Decision quality" }
                p {
    "Strategies to route LLM inference across regions: " (report.cases.len()) " cases, "
                    (report.seeds) " seeds each. Bars are means over the seeds."
                }
                @if failures.is_empty() { p { "The gate passed." } }
                @else {
                    p.bad { "The gate failed:" }
                    ul { @for failure in &failures { li { (failure) } } }
                }
                (rows(&table::gate(&report.gate)))
                h2 { "Pinned zone" }
                p { "Requests of the zone eea alone. The gate ignores these values." }
                (rows(&table::pinned(&report.gate)))
                nav { @for case in &report.cases { a href={ "#" (case.name) } { (case.name) } } }
                @for case in &cases { (case) }
            }
        }
    };
    Ok(page.into_string())
}

fn case(case: &CaseResult) -> Result<Markup, Box<dyn std::error::Error + Send + Sync>> {
    let draw = |(title, unit, metric): Chart| {
        let bars = case.strategies.iter();
        let bars: Vec<(Strategy, f64)> = bars
            .map(|(strategy, _)| (*strategy, case.spread(*strategy, metric).mean))
            .collect();
        chart::bars(title, unit, &bars)
    };
    let charts = CHARTS.into_iter().map(draw);
    let charts: Vec<String> = charts.collect::<Result<_, _>>()?;
    let lines = case.home_shares.iter();
    let lines: Vec<(String, &[u8])> = lines
        .map(|((gateway, zone), share)| (format!("{gateway}, {zone}"), share.as_slice()))
        .collect();
    let shares = chart::home_shares(
        "home share by gateway and zone (Meridian, first seed)",
        &lines,
        &case.disturbances,
    )?;
    Ok(html! {
        section id=(case.name) {
            h2 { (case.name) }
            p { (case.description) }
            figure { (PreEscaped(shares)) }
            @for chart in &charts { figure { (PreEscaped(chart)) } }
            (rows(&table::case(case)))
        }
    })
}

fn rows(table: &Table<'_>) -> Markup {
    html! {
        div.table {
            table {
                thead { tr { @for name in &table.head { th { (name) } } } }
                tbody {
                    @for row in &table.rows {
                        tr { @for cell in row { td { (cell) } } }
                    }
                }
            }
        }
    }
}
