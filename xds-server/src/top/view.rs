//! The view: one text with a section each for pools, shares, alarms and intents. It fits 80 columns by 24 lines, and moves by keys.

use super::state::State;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use meridian_planner::signal::Millis;
use meridian_xds_server::serve::report::{PoolReport, Report};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Text};
use ratatui::widgets::Paragraph;
use std::time::Duration;

/// The keys, at the bottom.
const KEYS: &str = "q quit   arrows, PageUp, PageDown move   ? help";

/// What the help says.
const HELP: &str = "\
q, Ctrl-C           quit
Up, Down            a line
PageUp, PageDown    a page
Left, Right         eight columns
?                   this help, and back

pools    util: how full, 100 % is what the pool can hold; queue: waiting
         requests; req/s: requests of the region's own callers
shares   home: the part that the gateway's first region keeps of a zone's
         requests for a model; the rest goes to the others, by weight
alarms   conditions that a person should look at
intents  drains, overrides and freezes in force";

/// Draws the state.
pub fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let parts = [
        Constraint::Length(2),
        Constraint::Fill(1),
        Constraint::Length(1),
    ];
    let [head, body, foot] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Paragraph::new(header(state)), head);
    frame.render_widget(Paragraph::new(KEYS).dim(), foot);
    let text = match &state.report {
        _ if state.has_help => Text::raw(HELP),
        Some(report) => sections(report),
        None => Text::default(),
    };
    state.page = body.height.max(1);
    let lines = u16::try_from(text.height()).unwrap_or(u16::MAX);
    let columns = u16::try_from(text.width()).unwrap_or(u16::MAX);
    let (line, column) = &mut state.scroll;
    *line = (*line).min(lines.saturating_sub(body.height));
    *column = (*column).min(columns.saturating_sub(body.width));
    frame.render_widget(Paragraph::new(text).scroll(state.scroll), body);
}

/// The control plane, and whether it answers.
fn header(state: &State) -> Text<'static> {
    let address = &state.address;
    let first = match &state.report {
        Some(report) => {
            let at = humantime::format_rfc3339_seconds(at(report.at));
            let (file, envoys) = (&report.fleet.file, report.envoys.len());
            format!(
                "meridian {}  {address}  {file}  {envoys} Envoys  {at}",
                report.version
            )
        }
        None => format!("meridian  {address}"),
    };
    let second = match (&state.error, &state.report) {
        (Some(error), Some(_)) => Line::from(format!("! shown as it was: {error}")).red(),
        (Some(error), None) => Line::from(format!("! {error}")).red(),
        (None, None) => Line::from("waiting for the first report"),
        (None, Some(report)) => trouble(report),
    };
    Text::from(vec![Line::from(first).bold(), second])
}

fn at(millis: Millis) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + Duration::from_millis(millis.0)
}

/// What is wrong with the control plane itself.
fn trouble(report: &Report) -> Line<'static> {
    let file = report.fleet.error.as_ref();
    let plan = report.unpublished.as_ref();
    match (file, plan) {
        (Some(error), _) => {
            let message = error.message.replace('\n', " ");
            Line::from(format!("! the fleet file is not in force: {message}")).red()
        }
        (None, Some(error)) => {
            Line::from(format!("! the plan cannot be published: {}", error.message)).red()
        }
        (None, None) => Line::default(),
    }
}

fn sections(report: &Report) -> Text<'static> {
    let mut lines = Vec::new();
    pools(report, &mut lines);
    shares(report, &mut lines);
    lines.push(section(&format!("alarms ({})", report.alarms.len())));
    for alarm in &report.alarms {
        lines.push(Line::from(format!(" {}: {}", alarm.region, alarm.message)).yellow());
    }
    lines.push(Line::default());
    intents(report, &mut lines);
    Text::from(lines)
}

fn section(name: &str) -> Line<'static> {
    Line::from(name.to_owned()).bold().underlined()
}

/// Adds a table, with a style for each row.
fn add(
    lines: &mut Vec<Line<'static>>,
    header: &[&str],
    rows: impl IntoIterator<Item = (Vec<String>, Style)>,
) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    let mut styles = vec![Style::new().dim()];
    for (row, style) in rows {
        table.add_row(row);
        styles.push(style);
    }
    for (line, style) in table.lines().zip(styles) {
        lines.push(Line::styled(line.trim_end().to_owned(), style));
    }
    lines.push(Line::default());
}

fn pools(report: &Report, lines: &mut Vec<Line<'static>>) {
    lines.push(section("pools"));
    let rows = report.regions.iter().flat_map(|(region, of)| {
        of.pools.iter().map(move |(model, pool)| {
            let signals = &pool.signals;
            let utilization = signals.utilization.map(|utilization| utilization.now);
            let demand: f64 = pool.demand.values().sum();
            let (state, style) = health(pool);
            let row = vec![
                region.to_string(),
                model.to_string(),
                utilization.map_or_else(none, |part| format!("{:.0} %", part * 100.0)),
                signals
                    .waiting
                    .map_or_else(none, |count| format!("{count:.0}")),
                format!("{demand:.1}"),
                state,
            ];
            (row, style)
        })
    });
    let header = ["region", "model", "util", "queue", "req/s", "state"];
    add(lines, &header, rows);
}

fn none() -> String {
    "-".to_owned()
}

/// The state of a pool with its reasons.
fn health(pool: &PoolReport) -> (String, Style) {
    let reasons: Vec<String> = pool
        .health
        .reasons
        .iter()
        .map(ToString::to_string)
        .collect();
    let reasons = reasons.join(", ");
    match (pool.health.down, reasons.is_empty()) {
        (true, _) => (format!("down: {reasons}"), Style::new().red()),
        (false, false) => (reasons, Style::new().yellow()),
        (false, true) => ("ok".to_owned(), Style::new()),
    }
}

fn shares(report: &Report, lines: &mut Vec<Line<'static>>) {
    lines.push(section("shares"));
    let mut rows = Vec::new();
    for (gateway, zones) in &report.placements {
        for (zone, models) in zones {
            for (model, placement) in models {
                let parts = placement.overflow.iter();
                let parts = parts.map(|(region, weight)| format!("{region} {weight}"));
                let parts: Vec<String> = parts.collect();
                let style = match placement.home_share {
                    100 => Style::new(),
                    _ => Style::new().cyan(),
                };
                let row = vec![
                    gateway.to_string(),
                    zone.to_string(),
                    model.to_string(),
                    format!("{} %", placement.home_share),
                    parts.join(", "),
                ];
                rows.push((row, style));
            }
        }
    }
    let header = ["gateway", "zone", "model", "home", "the rest to"];
    add(lines, &header, rows);
}

fn intents(report: &Report, lines: &mut Vec<Line<'static>>) {
    lines.push(section("intents"));
    let rows = report.intents.active(report.at).map(|(number, intent)| {
        let left = intent.expires.since(report.at);
        let left = Duration::from_secs(left.as_secs());
        let row = vec![
            number.to_string(),
            intent.action.to_string(),
            humantime::format_duration(left).to_string(),
            intent.by.clone(),
            intent.why.clone(),
        ];
        (row, Style::new())
    });
    let header = ["number", "intent", "ends in", "by", "why"];
    add(lines, &header, rows);
}
