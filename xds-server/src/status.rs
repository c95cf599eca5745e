//! `meridian status`: prints the report for a person.

mod plan;
mod replicas;

pub use plan::{plan, plan_history};

use crate::serve::report::{EnvoyReport, Report, SourceReport};
use crate::serve::store::{Change, Record};
use crate::table::{ago, none, number, percent, seconds, section, table};
use comfy_table::Table;
use meridian_planner::intent::Intents;
use meridian_planner::signal::Millis;
use meridian_policy::ZoneId;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

/// The report as text.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = write(&mut text, report);
    text
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    let fleet = &report.fleet;
    writeln!(
        out,
        "meridian {}   fleet file {}, in force for {}",
        report.version,
        fleet.file,
        ago(report.at, Some(fleet.since))
    )?;
    files(out, report)?;
    if !fleet.kept.is_empty() {
        let kept: Vec<&str> = fleet.kept.iter().map(ZoneId::as_str).collect();
        writeln!(
            out,
            "kept for requests under way: the earlier definitions {}",
            kept.join(", ")
        )?;
    }
    if let Some(error) = &report.unpublished {
        writeln!(
            out,
            "! the plan cannot be published, for {}; the one before it stays: {}",
            ago(report.at, Some(error.at)),
            error.message
        )?;
    }
    if let Some(replicas) = &report.replicas {
        replicas::write(out, replicas, report.at)?;
    }
    if !report.intents.0.is_empty() {
        let table = intents_table(&report.intents, report.at);
        section(out, "intents", &table)?;
    }
    section(out, "regions", &regions(report))?;
    section(out, "placements", &placements(report))?;
    if report.regions.values().any(|of| of.data.role.is_some()) {
        section(out, "retrieval", &retrieval(report))?;
    }
    section(out, "sources", &sources(report))?;
    section(out, "envoys", &envoys(report))?;
    for envoy in &report.envoys {
        refusals(out, envoy)?;
    }
    certificates(out, report)?;
    if !report.alarms.is_empty() {
        writeln!(out, "\nalarms")?;
        for alarm in &report.alarms {
            writeln!(out, "  {}: {}", alarm.region, alarm.message)?;
        }
    }
    Ok(())
}

/// Files that are not in force as they are written.
fn files(out: &mut String, report: &Report) -> std::fmt::Result {
    let operators = report.api.as_ref().and_then(|api| api.error.as_ref());
    for (file, error) in [
        ("fleet file", report.fleet.error.as_ref()),
        ("file of operators", operators),
    ] {
        if let Some(error) = error {
            let message = &error.message;
            writeln!(
                out,
                "! the {file} is not in force as it is written: {message}"
            )?;
        }
    }
    Ok(())
}

/// What operators have said, as text.
pub fn intents(intents: &Intents, now: Millis) -> String {
    if intents.active(now).next().is_none() {
        return "nothing is drained, overridden or frozen\n".to_owned();
    }
    let table = intents_table(intents, now);
    let lines = table.lines();
    lines.map(|line| format!("{}\n", line.trim_end())).collect()
}

fn intents_table(intents: &Intents, now: Millis) -> Table {
    let mut table = table(["number", "intent", "ends in", "by", "why", "in spite of"]);
    for (number, intent) in intents.active(now) {
        table.add_row([
            number.to_string(),
            intent.action.to_string(),
            ago(intent.expires, Some(now)),
            intent.by.clone(),
            intent.why.clone(),
            intent.forced.join("; "),
        ]);
    }
    table
}

/// A record of the audit log, as a line.
pub fn record(record: &Record) -> String {
    let at = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(record.at.0));
    let change = match record.change {
        Change::Created => "creates",
        Change::Undone => "undoes",
        Change::Expired => "ends",
    };
    let before = record.before.as_ref();
    let ended = before.map(|(number, intent)| format!("{number}: {}", intent.action));
    let mut line = format!(
        "{} {at} {} ({}) {change}",
        record.number, record.by, record.from
    );
    if let Some(after) = &record.after {
        let until = UNIX_EPOCH + Duration::from_millis(after.expires.0);
        let until = humantime::format_rfc3339_seconds(until);
        line += &format!(" {} until {until}", after.action);
        if let Some(ended) = &ended {
            line += &format!(", in the place of {ended}");
        }
        for objection in &after.forced {
            line += &format!(", in spite of: {objection}");
        }
    } else if let Some(ended) = ended {
        line += &format!(" {ended}");
    }
    line + &format!(", because: {}\n", record.why)
}

fn regions(report: &Report) -> Table {
    let mut table = table([
        "region",
        "model",
        "utilization",
        "queue",
        "first token p95",
        "errors",
        "lag",
        "GPU",
        "endpoints",
        "batch",
        "health",
    ]);
    for (region, of) in &report.regions {
        for (model, pool) in &of.pools {
            let signals = &pool.signals;
            let reasons: Vec<String> = pool
                .health
                .reasons
                .iter()
                .map(ToString::to_string)
                .collect();
            let health = match (pool.health.down, reasons.is_empty()) {
                (true, _) => format!("down: {}", reasons.join(", ")),
                (false, true) => "ok".into(),
                (false, false) => reasons.join(", "),
            };
            table.add_row([
                region.to_string(),
                model.to_string(),
                percent(signals.utilization.map(|utilization| utilization.now)),
                number(signals.waiting),
                seconds(signals.first_token_p95),
                percent(signals.error_rate),
                seconds(signals.replication_lag),
                percent(signals.gpu.busy),
                signals
                    .endpoints
                    .map_or_else(none, |(healthy, total)| format!("{healthy}/{total}")),
                format!("{} %", pool.batch),
                health,
            ]);
        }
    }
    table
}

fn placements(report: &Report) -> Table {
    let mut table = table(["gateway", "zone", "model", "home share", "overflow to", ""]);
    for (gateway, zones) in &report.placements {
        for (zone, models) in zones {
            for (model, placement) in models {
                let weights: Vec<String> = placement
                    .overflow
                    .iter()
                    .map(|(region, weight)| format!("{region} {weight}"))
                    .collect();
                table.add_row([
                    gateway.to_string(),
                    zone.to_string(),
                    model.to_string(),
                    format!("{} %", placement.home_share),
                    if weights.is_empty() {
                        "no region has room".into()
                    } else {
                        weights.join(", ")
                    },
                    if placement.without_effect {
                        "shedding has no effect".into()
                    } else {
                        String::new()
                    },
                ]);
            }
        }
    }
    table
}

fn retrieval(report: &Report) -> Table {
    let mut table = table(["region", "vector database", "behind", "", "served by"]);
    for (region, of) in &report.regions {
        let data = &of.data;
        if let (Some(role), Some(serves)) = (data.role, &data.serves) {
            table.add_row([
                region.to_string(),
                role.to_string(),
                seconds(data.lag),
                if data.behind { "too far" } else { "" }.into(),
                serves.to_string(),
            ]);
        }
    }
    table
}

fn sources(report: &Report) -> Table {
    let mut table = table([
        "region", "source", "heard", "url", "failures", "refused", "last",
    ]);
    for (region, of) in &report.regions {
        for (name, source) in &of.sources {
            let sum = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>().to_string();
            table.add_row([
                region.to_string(),
                name.clone(),
                ago(report.at, source.heard),
                source.url.clone(),
                sum(&source.failures),
                sum(&source.refusals),
                last(source),
            ]);
        }
    }
    table
}

fn last(source: &SourceReport) -> String {
    let refused = source
        .refused
        .first()
        .map(|refused| format!("refused {refused}"));
    source.error.clone().or(refused).unwrap_or_default()
}

fn envoys(report: &Report) -> Table {
    let mut table = table([
        "region",
        "node",
        "from",
        "version",
        "protocol",
        "connected",
        "state",
    ]);
    for envoy in &report.envoys {
        let behind = envoy.types.values().any(|of| of.in_flight.is_some());
        let refuses = envoy.types.values().any(|of| of.nack.is_some());
        let state = match (refuses, behind) {
            (true, _) => "refuses",
            (false, true) => "updating",
            (false, false) => "up to date",
        };
        table.add_row([
            envoy.region.clone(),
            envoy.node.clone(),
            envoy.remote.clone(),
            envoy.user_agent.clone(),
            envoy.protocol.clone(),
            ago(report.at, Some(envoy.connected)),
            state.into(),
        ]);
    }
    table
}

fn refusals(out: &mut String, envoy: &EnvoyReport) -> std::fmt::Result {
    for (kind, of) in &envoy.types {
        if let (Some(version), Some(nack)) = (&of.refused, &of.nack) {
            let acked = of.acked.as_deref().unwrap_or("nothing");
            writeln!(
                out,
                " ! {} at {} refuses {kind} {version}, keeps {acked}: {nack}",
                envoy.node, envoy.remote
            )?;
        }
    }
    Ok(())
}

/// The control plane's certificates, and of every gateway the one that expires first.
fn certificates(out: &mut String, report: &Report) -> std::fmt::Result {
    let of = &report.certificates;
    if of.own.is_empty() {
        return Ok(());
    }
    let mut table = table(["region", "node", "certificate", "expires"]);
    for (name, ends) in &of.own {
        let row = ["", "control plane", name, &date(*ends)];
        table.add_row(row.map(String::from));
    }
    let mut first: BTreeMap<(&str, &str), (i64, &str)> = BTreeMap::new();
    for ((region, node, name), ends) in report.certificates_of_gateways() {
        let known = first.entry((region, node)).or_insert((ends, name));
        *known = (*known).min((ends, name));
    }
    for ((region, node), (ends, name)) in first {
        table.add_row([region, node, name, &date(ends)].map(String::from));
    }
    section(out, "certificates", &table)?;
    if let Some(error) = &of.error {
        writeln!(
            out,
            " ! the files are not in force, for {}; the certificates before stay: {}",
            ago(report.at, Some(error.at)),
            error.message
        )?;
    }
    if let Some(last) = &of.last_refused {
        let count: u64 = of.refused.values().sum();
        writeln!(
            out,
            " ! {count} handshakes were refused, the last one {} ago: {}: {}: {}",
            ago(report.at, Some(last.at)),
            last.remote,
            last.reason,
            last.message
        )?;
    }
    Ok(())
}

fn date(seconds: i64) -> String {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    time.map_or_else(none, |time| {
        humantime::format_rfc3339_seconds(time).to_string()
    })
}
