//! Several control planes that share a store.

use crate::serve::report::ReplicasReport;
use crate::table::{ago, section, table};
use meridian_planner::signal::Millis;
use meridian_policy::RegionName;
use std::fmt::Write;

/// Who leads, whether the store is there, and which replicas there are.
pub fn write(out: &mut String, report: &ReplicasReport, now: Millis) -> std::fmt::Result {
    let since = ago(now, Some(report.since));
    if !report.up {
        let error = report.error.as_deref().unwrap_or("not connected yet");
        return writeln!(
            out,
            "! the store at {} is away for {since}: what is in force stays, nothing new is accepted: {error}",
            report.store
        );
    }
    match &report.leader {
        Some(leader) => {
            let since = ago(now, Some(leader.since));
            let own = if report.leads { " (this one)" } else { "" };
            writeln!(out, "{} leads{own}, for {since}", leader.name)?;
        }
        None => writeln!(out, "! no replica leads")?,
    }
    if let Some(error) = &report.unable {
        writeln!(out, "! the plan in force cannot be published here: {error}")?;
    }
    let mut rows = table(["replica", "version", "gateways of", "state"]);
    for replica in &report.replicas {
        let regions: Vec<&str> = replica.regions.iter().map(RegionName::as_str).collect();
        let state = match (replica.unable, replica.differs) {
            (true, _) => "cannot publish the plan in force",
            (false, true) => "its fleet file is not the one in force",
            (false, false) => "ok",
        };
        rows.add_row([
            replica.name.as_str(),
            &replica.version,
            &regions.join(", "),
            state,
        ]);
    }
    section(out, "replicas", &rows)
}
