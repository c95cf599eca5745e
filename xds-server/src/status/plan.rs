//! The plan in force and what plans have moved, as text.

use crate::serve::plans::{PlanHistory, PlanReport};
use crate::serve::store::{PlanRecord, Why};
use crate::table::{ago, none, number, percent, seconds, section, table};
use comfy_table::Table;
use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

/// The plan in force as text.
pub fn plan(report: &PlanReport) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write(&mut text, report);
    text
}

fn write(out: &mut String, report: &PlanReport) -> std::fmt::Result {
    match report.number {
        Some(number) => write!(out, "plan {number}, for {}", ago(report.at, report.since))?,
        None => write!(out, "no plan has moved anything yet")?,
    }
    match report.revision {
        Some(revision) => writeln!(out, "; revision {revision} in etcd")?,
        None => writeln!(out)?,
    }
    section(out, "placements", &placements(report))?;
    section(out, "pools", &pools(report))?;
    if report.data.values().any(|data| data.role.is_some()) {
        section(out, "data", &data(report))?;
    }
    Ok(())
}

fn placements(report: &PlanReport) -> Table {
    let mut table = table([
        "gateway",
        "zone",
        "model",
        "home share",
        "overflow to",
        "first region",
        "utilization",
        "at the last change",
        "expected after it",
        "changed",
        "",
    ]);
    for of in &report.placements {
        let overflow = of.share.overflow.iter();
        let overflow = overflow.map(|(region, weight)| format!("{region} {weight}"));
        let overflow: Vec<String> = overflow.collect();
        let is_known = of.since.is_some();
        table.add_row([
            of.gateway.to_string(),
            of.zone.to_string(),
            of.model.to_string(),
            format!("{} %", of.share.home_share),
            overflow.join(", "),
            of.first.to_string(),
            percent(of.utilization),
            percent(of.utilization_then),
            percent(of.utilization_expected),
            if is_known {
                format!("{} ago", ago(report.at, of.since))
            } else {
                none()
            },
            if of.without_effect {
                "shedding has no effect".into()
            } else {
                String::new()
            },
        ]);
    }
    table
}

fn pools(report: &PlanReport) -> Table {
    let mut table = table([
        "region",
        "model",
        "health",
        "batch",
        "utilization",
        "queue",
        "first token p95",
        "errors",
        "endpoints",
    ]);
    for pool in &report.pools {
        let endpoints = pool.endpoints;
        table.add_row([
            pool.region.to_string(),
            pool.model.to_string(),
            pool.health.to_string(),
            format!("{} %", pool.batch),
            percent(pool.utilization),
            number(pool.queue),
            seconds(pool.first_token_p95),
            percent(pool.errors),
            endpoints.map_or_else(none, |(healthy, total)| format!("{healthy}/{total}")),
        ]);
    }
    table
}

fn data(report: &PlanReport) -> Table {
    let mut table = table(["region", "lag", "", "retrieval from"]);
    for (region, data) in &report.data {
        let serves = data.serves.as_ref();
        table.add_row([
            region.to_string(),
            seconds(data.lag),
            if data.behind { "behind" } else { "" }.into(),
            serves.map_or_else(none, ToString::to_string),
        ]);
    }
    table
}

/// What plans have moved as text: a line for each plan, and one for each move.
pub fn plan_history(history: &PlanHistory) -> String {
    let mut text = String::new();
    for record in &history.plans {
        // Writing into a String cannot fail.
        let _ = write_record(&mut text, record);
    }
    text
}

fn write_record(out: &mut String, record: &PlanRecord) -> std::fmt::Result {
    let at = UNIX_EPOCH + Duration::from_millis(record.at.0);
    let at = humantime::format_rfc3339_seconds(at);
    let why = match record.why {
        Why::Start => "start of the control plane",
        Why::Edit => "edit of the fleet file",
        Why::Intent => "intents",
        Why::Signals => "signals",
        Why::Planner => "planner",
    };
    writeln!(out, "{} {at} {why}", record.number)?;
    for each in &record.moves {
        writeln!(out, "  {each}")?;
    }
    if record.more > 0 {
        writeln!(out, "  and {} more", record.more)?;
    }
    Ok(())
}
