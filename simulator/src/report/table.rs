//! Markdown tables with aligned columns, so that they are readable in a terminal.

use crate::gate::{CaseVerdict, Comparison, Gate};
use crate::profile::{Point, Profile};
use crate::results::RunMetrics;
use crate::spread::Spread;
use crate::strategy::Strategy;
use crate::study::CaseResult;
use std::fmt::{self, Display, Formatter};

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<'h> {
    /// Column names.
    pub head: Vec<&'h str>,
    /// Rows with one cell per column.
    pub rows: Vec<Vec<String>>,
}

/// Writes the table as Markdown. Cells are as wide as the widest of their column; all columns but the first are right-aligned.
impl Display for Table<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self { head, rows } = self;
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            let cells = cells.map(String::as_str).chain([head[column]]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let line = |cells: &[&str]| {
            let each = cells.iter().zip(&widths).enumerate();
            let each = each.map(|(column, (cell, width))| match column {
                0 => format!("| {cell:<width$} "),
                _ => format!("| {cell:>width$} "),
            });
            each.collect::<String>() + "|"
        };
        let rule = widths.iter().enumerate().map(|(column, width)| {
            let dashes = "-".repeat(width + 1);
            let end = if column == 0 { "-" } else { ":" };
            format!("|{dashes}{end}")
        });
        writeln!(out, "{}", line(head))?;
        writeln!(out, "{}|", rule.collect::<String>())?;
        for row in rows {
            let row: Vec<&str> = row.iter().map(String::as_str).collect();
            writeln!(out, "{}", line(&row))?;
        }
        Ok(())
    }
}

/// A column of a case's table: name, value and format.
type Column = (&'static str, fn(&RunMetrics) -> f64, fn(Spread) -> String);

const COLUMNS: [Column; 13] = [
    ("TTFT P50", |of| of.ttft[0], seconds),
    ("TTFT P95", |of| of.ttft[1], seconds),
    ("TTFT P99", |of| of.ttft[2], seconds),
    ("latency P50", |of| of.latency[0], seconds),
    ("latency P95", |of| of.latency[1], seconds),
    ("latency P99", |of| of.latency[2], seconds),
    ("SLO met", |of| of.slo_attainment, percent),
    (
        "home",
        |of| of.served_at_home,
        |of| format!("{:.0} %", of.mean * 100.0),
    ),
    (
        "cross-region GB",
        |of| of.cross_region_gb,
        |of| format!("{:.2}", of.mean),
    ),
    (
        "fallback",
        |of| of.fallback_requests,
        |of| format!("{:.0}", of.mean),
    ),
    (
        "fallback cost",
        |of| of.fallback_cost,
        |of| format!("{:.2} $", of.mean),
    ),
    (
        "failed",
        |of| of.failed_requests,
        |of| format!("{:.0}", of.mean),
    ),
    (
        "violations",
        |of| of.residency_violations,
        |of| format!("{:.0}", of.high),
    ),
];

/// The mean, with minimum and maximum where they differ.
fn range(of: Spread, write: impl Fn(f64) -> String) -> String {
    let (low, mean, high) = (write(of.low), write(of.mean), write(of.high));
    if low == high {
        mean
    } else {
        format!("{mean} ({low}–{high})")
    }
}

fn seconds(of: Spread) -> String {
    range(of, |value| {
        if value < 9.95 {
            format!("{value:.2}")
        } else {
            format!("{value:.0}")
        }
    })
}

fn percent(of: Spread) -> String {
    range(of, |value| format!("{:.1}", value * 100.0)) + " %"
}

/// The results of a case: a row per strategy.
pub fn case(result: &CaseResult) -> Table<'static> {
    let mut head = vec!["strategy"];
    head.extend(COLUMNS.map(|(name, _, _)| name));
    let rows = result.strategies.iter().map(|(strategy, _)| {
        let cells = COLUMNS.map(|(_, metric, write)| write(result.spread(*strategy, metric)));
        let name = strategy.name().to_owned();
        std::iter::once(name).chain(cells).collect()
    });
    Table {
        head,
        rows: rows.collect(),
    }
}

/// The gate's comparison over all requests: a row per case.
pub fn gate(gate: &Gate) -> Table<'static> {
    let mut head = vec!["case"];
    head.extend(COMPARISON);
    head.extend([
        "oracle TTFT P95",
        "vs. oracle",
        "oracle SLO met",
        "reversals",
        "violations",
    ]);
    let row = |verdict: &CaseVerdict| {
        let mut row = vec![verdict.case.clone()];
        row.extend(comparison(&verdict.all));
        row.extend([
            precise(verdict.oracle.ttft),
            format!("{:+.0} %", (verdict.ttft_over_oracle() - 1.0) * 100.0),
            precise_percent(verdict.oracle.slo_attainment),
            verdict
                .reversals
                .map_or("–".to_owned(), |reversals| reversals.to_string()),
            format!("{:.0}", verdict.violations),
        ]);
        row
    };
    Table {
        head,
        rows: gate.cases.iter().map(row).collect(),
    }
}

/// The comparison over the pinned zone's requests: a row per case.
pub fn pinned(gate: &Gate) -> Table<'static> {
    let mut head = vec!["case, zone `eea`"];
    head.extend(COMPARISON);
    let row = |verdict: &CaseVerdict| {
        let name = std::iter::once(verdict.case.clone());
        name.chain(comparison(&verdict.pinned)).collect()
    };
    Table {
        head,
        rows: gate.cases.iter().map(row).collect(),
    }
}

/// Columns that compare Meridian with the best baselines.
const COMPARISON: [&str; 5] = [
    "TTFT P95",
    "lowest baseline TTFT P95",
    "SLO met",
    "highest baseline SLO met",
    "verdict",
];

fn comparison(of: &Comparison) -> [String; 5] {
    let baseline = |(strategy, value): (Strategy, f64), write: fn(f64) -> String| {
        format!("{} {}", strategy.name(), write(value))
    };
    [
        precise(of.meridian.ttft),
        baseline(of.lowest_ttft, precise),
        precise_percent(of.meridian.slo_attainment),
        baseline(of.highest_attainment, precise_percent),
        verdict(of).to_owned(),
    ]
}

fn precise(seconds: f64) -> String {
    format!("{seconds:.3}")
}

fn precise_percent(ratio: f64) -> String {
    format!("{:.2} %", ratio * 100.0)
}

/// Meridian's verdict in a word.
fn verdict(comparison: &Comparison) -> &'static str {
    if comparison.is_best() {
        "best"
    } else if comparison.is_worse() {
        "worse"
    } else {
        "even"
    }
}

/// Cost of a forward pass, a row per term.
pub fn coefficients(profile: &Profile) -> Table<'static> {
    let row = |per: &str, cost: f64, scale: f64, unit: &str, digits: usize| {
        vec![per.to_owned(), format!("{:.digits$} {unit}", cost * scale)]
    };
    Table {
        head: vec!["term", "cost"],
        rows: vec![
            row("pass", profile.pass, 1e3, "ms", 2),
            row("prompt token", profile.prompt_token, 1e3, "ms", 4),
            row(
                "pair of a prompt token and a token before it",
                profile.prompt_square,
                1e9,
                "ns",
                3,
            ),
            row("decoding sequence", profile.sequence, 1e3, "ms", 3),
            row(
                "token of a decoding sequence's context",
                profile.context_token,
                1e6,
                "µs",
                3,
            ),
        ],
    }
}

/// An additional column of a table of service times: its name and its cells.
pub type ExtraColumn<'m> = (&'m str, &'m dyn Fn(&Point) -> String);

/// Measured and fitted service times, with additional columns.
pub fn fit<'m>(points: &[Point], extra: &[ExtraColumn<'m>]) -> Table<'m> {
    let mut head = vec!["prompt", "batch", "measured", "fitted", "error"];
    head.extend(extra.iter().map(|(name, _)| *name));
    let row = |point: &Point| {
        let mut row = vec![
            point.prompt_size.to_string(),
            point.batch_size.to_string(),
            format!("{:.1}", point.measured),
            format!("{:.1}", point.fitted),
            format!("{:.0} %", point.error() * 100.0),
        ];
        row.extend(extra.iter().map(|(_, cell)| cell(point)));
        row
    };
    Table {
        head,
        rows: points.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let table = Table {
            head: vec!["strategy", "s"],
            rows: vec![vec!["nearest".to_owned(), "1.00 (0.9–1.1)".to_owned()]],
        };
        assert_eq!(
            table.to_string(),
            "| strategy |              s |\n|----------|---------------:|\n| nearest  | 1.00 (0.9–1.1) |\n"
        );
    }

    #[test]
    fn equal_values_have_no_range() {
        assert_eq!(seconds(Spread::of([1.0, 1.004])), "1.00");
        assert_eq!(seconds(Spread::of([1.0, 12.0])), "6.50 (1.00–12)");
        assert_eq!(percent(Spread::of([0.5, 0.75])), "62.5 (50.0–75.0) %");
    }
}
