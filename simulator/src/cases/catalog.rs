//! All cases: each trace on three and on eight regions, and cases with changes of demand or with faults.

use super::load::{self, Load};
use super::spec::{CaseSpec, TraceSource};
use crate::case::FaultKind;
use crate::topology::{EIGHT, RegionLocation, THREE};

const SERVEGEN: &str = include_str!("../../traces/servegen-m-large-day.csv");

/// All cases, in the order of the tables.
pub fn all() -> Vec<CaseSpec> {
    let mut all = trace_cases();
    all.extend(demand_cases());
    all.extend(fault_cases());
    all
}

/// Each trace on three and on eight regions.
fn trace_cases() -> Vec<CaseSpec> {
    type Row = (&'static str, &'static str, TraceSource, fn() -> Load);
    let rows: [Row; 5] = [
        (
            "azure-code",
            "Azure's code completions",
            TraceSource::Code,
            || Load::RealTime,
        ),
        (
            "azure-chat",
            "Azure's conversations",
            TraceSource::Conversation,
            || Load::RealTime,
        ),
        (
            "mooncake",
            "Mooncake's conversations",
            TraceSource::Mooncake,
            || Load::RealTime,
        ),
        (
            "servegen",
            "ServeGen's clients, a day in twenty minutes",
            TraceSource::ServeGen(SERVEGEN.into()),
            || Load::RealTime,
        ),
        (
            "o365-day",
            "the load of an Office 365 day in twenty minutes, in each region's time zone",
            TraceSource::Conversation,
            || Load::WholeDay,
        ),
    ];
    let sizes: [&'static [RegionLocation]; 2] = [&THREE, &EIGHT];
    let specs = rows.into_iter().flat_map(|(name, about, trace, load)| {
        sizes.map(|locations| {
            let name = format!("{name}-{}", locations.len());
            CaseSpec::new(&name, about, locations, trace.clone(), load())
        })
    });
    specs.collect()
}

/// A case with Azure's conversations and a load of its own.
fn chat(
    name: &str,
    description: &str,
    locations: &'static [RegionLocation],
    load: fn(usize, f64) -> f64,
) -> CaseSpec {
    let trace = TraceSource::Conversation;
    CaseSpec::new(name, description, locations, trace, Load::Custom(load))
}

/// Changes of demand.
fn demand_cases() -> [CaseSpec; 3] {
    [
        chat(
            "step",
            "one region's demand more than doubles for seven minutes",
            &THREE,
            load::step,
        )
        .with_disturbances(&[400.0, 800.0]),
        chat(
            "diurnals",
            "each region's demand rises and falls once, in its own time zone",
            &EIGHT,
            load::offset_days,
        ),
        chat(
            "promotion",
            "one region's demand triples within half a minute, then decays",
            &EIGHT,
            load::promotion,
        )
        .with_disturbances(&[400.0]),
    ]
}

/// Faults, and regions of different sizes.
fn fault_cases() -> [CaseSpec; 4] {
    let hot = Some(load::hot_region(&EIGHT));
    [
        chat(
            "region-loss",
            "one region is down for seven minutes",
            &EIGHT,
            load::steady,
        )
        .with_fault(hot, FaultKind::Outage),
        chat(
            "slower",
            "every region is a tenth slower for seven minutes",
            &EIGHT,
            load::uneven,
        )
        .with_fault(None, FaultKind::Slowdown(1.0 / 0.9)),
        chat(
            "lies",
            "the busiest region's metrics report idle servers",
            &EIGHT,
            load::one_busy,
        )
        .with_fault(hot, FaultKind::IdleMetrics),
        chat(
            "sizes",
            "regions of eight, six and four servers with equal demand",
            &THREE,
            load::equal_demand,
        )
        .with_sizes(&[8, 6, 4]),
    ]
}
