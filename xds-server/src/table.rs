//! Tables and times, as text.

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Table};
use meridian_planner::signal::Millis;
use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

pub fn section(out: &mut String, name: &str, table: &Table) -> std::fmt::Result {
    writeln!(out, "\n{name}")?;
    for line in table.lines() {
        writeln!(out, " {}", line.trim_end())?;
    }
    Ok(())
}

pub fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.map(Cell::new));
    table
}

/// A time to the millisecond.
pub fn time(at: Millis) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at.0)).to_string()
}

pub fn ago(now: Millis, then: Option<Millis>) -> String {
    then.map_or_else(
        || "never".into(),
        |then| {
            let since = now.since(then);
            let shown = if since < Duration::from_secs(10) {
                Duration::from_millis(u64::try_from(since.as_millis() / 100 * 100).unwrap_or(0))
            } else {
                Duration::from_secs(since.as_secs())
            };
            humantime::format_duration(shown).to_string()
        },
    )
}

pub fn none() -> String {
    "-".into()
}

pub fn percent(value: Option<f64>) -> String {
    value.map_or_else(none, |value| format!("{:.0} %", value * 100.0))
}

pub fn number(value: Option<f64>) -> String {
    value.map_or_else(none, |value| format!("{value:.0}"))
}

pub fn seconds(value: Option<f64>) -> String {
    value.map_or_else(none, |value| format!("{value:.1} s"))
}
