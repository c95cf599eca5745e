//! Tables, as Markdown that is aligned: to be read in a terminal as well.

use crate::gate::{Against, Gate, Judged};
use crate::outcome::Figures;
use crate::profile::Point;
use crate::spread::Spread;
use crate::strategy::Strategy;
use crate::study::Studied;
use std::fmt::{self, Display, Formatter};

/// Rows under a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<'h> {
    /// What the columns are called.
    pub head: Vec<&'h str>,
    /// A cell for each column.
    pub rows: Vec<Vec<String>>,
}

/// As Markdown: each cell as wide as the widest of its column, all but the first right-aligned.
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

/// The columns of a case's table.
type Column = (&'static str, fn(&Figures) -> f64, fn(Spread) -> String);

const COLUMNS: [Column; 13] = [
    ("TTFT P50", |of| of.first_token[0], seconds),
    ("TTFT P95", |of| of.first_token[1], seconds),
    ("TTFT P99", |of| of.first_token[2], seconds),
    ("whole P50", |of| of.whole[0], seconds),
    ("whole P95", |of| of.whole[1], seconds),
    ("whole P99", |of| of.whole[2], seconds),
    ("kept", |of| of.attainment, percent),
    (
        "home",
        |of| of.home,
        |of| format!("{:.0} %", of.mean * 100.0),
    ),
    (
        "GB between",
        |of| of.crossed,
        |of| format!("{:.2}", of.mean),
    ),
    (
        "fallback",
        |of| of.fallbacks,
        |of| format!("{:.0}", of.mean),
    ),
    ("its cost", |of| of.cost, |of| format!("{:.2} $", of.mean)),
    ("failed", |of| of.failed, |of| format!("{:.0}", of.mean)),
    (
        "left zone",
        |of| of.violations,
        |of| format!("{:.0}", of.high),
    ),
];

/// A mean, and the lowest and the highest where they differ.
fn between(of: Spread, write: impl Fn(f64) -> String) -> String {
    let (low, mean, high) = (write(of.low), write(of.mean), write(of.high));
    if low == high {
        mean
    } else {
        format!("{mean} ({low}–{high})")
    }
}

fn seconds(of: Spread) -> String {
    between(of, |value| {
        if value < 9.95 {
            format!("{value:.2}")
        } else {
            format!("{value:.0}")
        }
    })
}

fn percent(of: Spread) -> String {
    between(of, |value| format!("{:.1}", value * 100.0)) + " %"
}

/// One case: a row for each way.
pub fn case(studied: &Studied) -> Table<'static> {
    let mut head = vec!["way"];
    head.extend(COLUMNS.map(|(name, _, _)| name));
    let rows = studied.ways.iter().map(|(way, _)| {
        let cells = COLUMNS.map(|(_, figure, write)| write(studied.spread(*way, figure)));
        let name = way.name().to_owned();
        std::iter::once(name).chain(cells).collect()
    });
    Table {
        head,
        rows: rows.collect(),
    }
}

/// The gate: a row for each case.
pub fn gate(gate: &Gate) -> Table<'static> {
    let mut head = vec!["case"];
    head.extend(AGAINST);
    head.extend([
        "oracle's P95",
        "over it",
        "oracle kept",
        "turns",
        "left zone",
    ]);
    let row = |judged: &Judged| {
        let mut row = vec![judged.case.clone()];
        row.extend(against(&judged.all));
        row.extend([
            precise(judged.oracle.first_token),
            format!("{:+.0} %", (judged.over_oracle() - 1.0) * 100.0),
            precise_percent(judged.oracle.attainment),
            judged
                .turns
                .map_or("–".to_owned(), |turns| turns.to_string()),
            format!("{:.0}", judged.violations),
        ]);
        row
    };
    Table {
        head,
        rows: gate.judged.iter().map(row).collect(),
    }
}

/// The pinned zone's callers alone: a row for each case.
pub fn pinned(gate: &Gate) -> Table<'static> {
    let mut head = vec!["case, `eea` alone"];
    head.extend(AGAINST);
    let row = |judged: &Judged| {
        let name = std::iter::once(judged.case.clone());
        name.chain(against(&judged.pinned)).collect()
    };
    Table {
        head,
        rows: gate.judged.iter().map(row).collect(),
    }
}

/// The columns of Meridian against the others.
const AGAINST: [&str; 5] = [
    "TTFT P95",
    "soonest other",
    "kept",
    "other that kept most",
    "verdict",
];

fn against(of: &Against) -> [String; 5] {
    let by = |(way, value): (Strategy, f64), write: fn(f64) -> String| {
        format!("{} {}", way.name(), write(value))
    };
    [
        precise(of.meridian.first_token),
        by(of.soonest, precise),
        precise_percent(of.meridian.attainment),
        by(of.most_kept, precise_percent),
        verdict(of).to_owned(),
    ]
}

fn precise(seconds: f64) -> String {
    format!("{seconds:.3}")
}

fn precise_percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

/// How Meridian did, in a word.
fn verdict(against: &Against) -> &'static str {
    if against.is_best() {
        "best"
    } else if against.is_worse() {
        "worse"
    } else {
        "even"
    }
}

/// One more column of measured times: its head, and its cells.
pub type More<'m> = (&'m str, &'m dyn Fn(&Point) -> String);

/// Measured and fitted times, and what else is to be said of each.
pub fn fit<'m>(points: &[Point], more: &[More<'m>]) -> Table<'m> {
    let mut head = vec!["prompt", "batch", "measured ms", "fitted ms", "off by"];
    head.extend(more.iter().map(|(name, _)| *name));
    let row = |point: &Point| {
        let mut row = vec![
            point.prompt_size.to_string(),
            point.batch_size.to_string(),
            format!("{:.1}", point.measured),
            format!("{:.1}", point.fitted),
            format!("{:.0} %", point.error() * 100.0),
        ];
        row.extend(more.iter().map(|(_, cell)| cell(point)));
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
            head: vec!["way", "s"],
            rows: vec![vec!["nearest".to_owned(), "1.00 (0.9–1.1)".to_owned()]],
        };
        assert_eq!(
            table.to_string(),
            "| way     |              s |\n|---------|---------------:|\n| nearest | 1.00 (0.9–1.1) |\n"
        );
    }

    #[test]
    fn what_does_not_differ_is_written_once() {
        assert_eq!(seconds(Spread::of([1.0, 1.004])), "1.00");
        assert_eq!(seconds(Spread::of([1.0, 12.0])), "6.50 (1.00–12)");
        assert_eq!(percent(Spread::of([0.5, 0.75])), "62.5 (50.0–75.0) %");
    }
}
