//! The page: one HTML file with everything in it, that needs no network.

use super::table::{self, Table};
use super::{Report, chart};
use crate::outcome::Figures;
use crate::study::Studied;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "body{font:15px/1.45 sans-serif;max-width:1180px;margin:2em auto;padding:0 1em;color:#222}\
.table{overflow-x:auto}table{border-collapse:collapse;font-size:12px;font-variant-numeric:tabular-nums}\
th,td{padding:.2em .6em;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}\
th:first-child,td:first-child{text-align:left}\
figure{display:inline-block;margin:0}svg{max-width:100%;height:auto}nav a{display:inline-block;margin-right:.8em}.bad{color:#a00}";

/// A chart of one figure.
type Chart = (&'static str, &'static str, fn(&Figures) -> f64);

const CHARTS: [Chart; 11] = [
    ("time to the first token, P50", "s", |of| of.first_token[0]),
    ("time to the first token, P95", "s", |of| of.first_token[1]),
    ("time to the first token, P99", "s", |of| of.first_token[2]),
    ("whole answer, P50", "s", |of| of.whole[0]),
    ("whole answer, P95", "s", |of| of.whole[1]),
    ("whole answer, P99", "s", |of| of.whole[2]),
    ("promises kept", "%", |of| of.attainment * 100.0),
    ("served at home", "%", |of| of.home * 100.0),
    ("between regions", "GB", |of| of.crossed),
    ("served by a fallback", "requests", |of| of.fallbacks),
    ("cost of fallbacks", "$", |of| of.cost),
];

/// The page.
///
/// # Errors
/// A chart that cannot be drawn.
pub fn page(report: &Report) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let problems = report.gate.problems();
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
                    "Ways to route LLM inference across regions, side by side: " (report.cases.len()) " cases, "
                    (report.seeds) " seeds each; bars are means over the seeds."
                }
                @if problems.is_empty() { p { "The gate is met." } }
                @else {
                    p.bad { "The gate is not met:" }
                    ul { @for problem in &problems { li { (problem) } } }
                }
                (rows(&table::gate(&report.gate)))
                h2 { "The pinned zone's callers alone" }
                p { "No part of the gate." }
                (rows(&table::pinned(&report.gate)))
                nav { @for case in &report.cases { a href={ "#" (case.name) } { (case.name) } } }
                @for case in &cases { (case) }
            }
        }
    };
    Ok(page.into_string())
}

fn case(case: &Studied) -> Result<Markup, Box<dyn std::error::Error + Send + Sync>> {
    let draw = |(title, unit, figure): Chart| {
        let bars = case.ways.iter();
        let bars: Vec<(&str, f64)> = bars
            .map(|(way, _)| (way.name(), case.spread(*way, figure).mean))
            .collect();
        chart::bars(title, unit, &bars)
    };
    let charts = CHARTS.into_iter().map(draw);
    let charts: Vec<String> = charts.collect::<Result<_, _>>()?;
    let lines = case.shares.iter();
    let lines: Vec<(String, &[u8])> = lines
        .map(|((gateway, zone), share)| (format!("{gateway}, {zone}"), share.as_slice()))
        .collect();
    let shares = chart::shares(
        "what each gateway keeps at home, by zone (Meridian, first seed)",
        &lines,
        &case.disturbances,
    )?;
    Ok(html! {
        section id=(case.name) {
            h2 { (case.name) }
            p { (case.about) }
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
