//! What publications take, in this process: of an edit of the fleet file, of a plan, of a lease. And what a fleet costs each gateway.

use super::Arguments;
use super::fleet::Fleet;
use crate::report::Report;
use anyhow::{Context, Result};
use meridian_planner::intent::Intents;
use meridian_planner::placement::Placement;
use meridian_planner::plan::{Plan, carried_over, plan};
use meridian_planner::signal::Millis;
use meridian_planner::state::FleetState;
use meridian_planner::topology::Topology;
use meridian_policy::RegionName;
use meridian_policy::filter_policy::{Lease, TOTAL_WEIGHT};
use meridian_xds_server::fleet;
use meridian_xds_server::history::History;
use meridian_xds_server::serve::{Publication, Publisher};
use meridian_xds_server::xds::{ResourceType, Resources};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Regions and models. The growth is told from all of them.
const SIZES: [(usize, usize); 5] = [(3, 2), (10, 5), (30, 10), (100, 5), (100, 20)];

/// How often what is short is done. The median counts.
const TIMES: u64 = 9;

/// What one fleet takes.
struct Taken {
    topology: Duration,
    edit: Duration,
    share: Duration,
    lease: Duration,
    planning: Duration,
    /// Resources of the first gateway, and their bytes.
    gateway: (usize, usize),
}

/// Measures all sizes.
///
/// # Errors
/// A fleet cannot be published.
pub fn publication(arguments: &Arguments, report: &mut Report) -> Result<()> {
    let columns = [
        "fleet",
        "topology",
        "edit of the fleet file",
        "plan that moves one region's share",
        "renewal of the lease",
        "planning without signals",
        "resources of a gateway",
        "KiB of them",
    ];
    report.table(
        "Publications, on one thread; edits on one for each processor",
        &columns,
    );
    let mut all = Vec::new();
    for (regions, models) in SIZES {
        let taken = measure(arguments, regions, models, "")?;
        report.line(&row(&format!("{regions} x {models}"), &taken));
        all.push(((regions * models) as f64, taken));
    }
    let growth = |time: fn(&Taken) -> Duration| {
        let points: Vec<(f64, f64)> = all
            .iter()
            .map(|(size, taken)| (size.ln(), time(taken).as_secs_f64().ln()))
            .collect();
        slope(&points)
    };
    report.line(&format!(
        "| exponent by regions x models | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | | |",
        growth(|taken| taken.topology),
        growth(|taken| taken.edit),
        growth(|taken| taken.share),
        growth(|taken| taken.lease),
        growth(|taken| taken.planning),
    ));
    let whole = "policy: { failover: { regions: 30 }, overflow: { regions: 30 } }\n";
    let taken = measure(arguments, 30, 10, whole)?;
    report.line(&row(
        "30 x 10, failover and overflow to all regions",
        &taken,
    ));
    Ok(())
}

fn measure(arguments: &Arguments, regions: usize, models: usize, more: &str) -> Result<Taken> {
    let arguments = Arguments {
        regions,
        models,
        ..arguments.clone()
    };
    let text = Fleet::claim(&arguments)?.text() + more;
    let fleet = Arc::new(fleet::parse(&text)?);
    let (topology, of_topology) = timed(|| Topology::new(fleet));
    let history = History::from(Arc::new(topology));
    let topology = history.current.clone();
    let home = carried_over(&topology, &Plan::default());
    let mut lease = Lease {
        given: 0,
        runs_ms: 60_000,
    };
    let (publisher, edit) = timed(|| Publisher::new(history, &home, lease, &Publication::new()));
    let mut publisher = publisher?;
    let first = topology.regions.keys().next().context("no region")?.clone();
    let away = without(&topology, &home, &first);
    let mut shares = Vec::new();
    let mut leases = Vec::new();
    let mut plans = Vec::new();
    let (state, nothing) = (FleetState::default(), Intents::default());
    for time in 0..TIMES {
        let next = if time % 2 == 0 { &away } else { &home };
        let (made, took) = timed(|| publisher.follow(next, lease));
        made?;
        shares.push(took);
        lease.given += 1;
        let (made, took) = timed(|| publisher.follow(next, lease));
        made?;
        leases.push(took);
        let now = Millis(time * 1000);
        let (next, took) = timed(|| plan(&topology, &state, &nothing, next, now));
        black_box(next);
        plans.push(took);
    }
    let publication = publisher.publication();
    Ok(Taken {
        topology: of_topology,
        edit,
        share: median(shares)?,
        lease: median(leases)?,
        planning: median(plans)?,
        gateway: size(publication.get(&first).context("no gateway")?),
    })
}

/// A plan by which a quarter of a gateway's requests leaves its region.
fn without(topology: &Topology, home: &Plan, region: &RegionName) -> Plan {
    let mut away = home.clone();
    topology.each_choice(|(gateway, zone, model), (_, others)| {
        let zones = away.gateways.get_mut(gateway).filter(|_| gateway == region);
        if let Some(models) = zones.and_then(|zones| zones.get_mut(zone)) {
            let mut placement = Placement::home();
            placement.home_share = 75;
            placement.overflow.insert(others[0].clone(), TOTAL_WEIGHT);
            models.insert(model.clone(), placement);
        }
    });
    away
}

fn timed<R>(run: impl FnOnce() -> R) -> (R, Duration) {
    let begun = Instant::now();
    let made = run();
    (made, begun.elapsed())
}

fn median(mut times: Vec<Duration>) -> Result<Duration> {
    times.sort_unstable();
    let middle = times.get(times.len() / 2);
    middle.copied().context("nothing was measured")
}

fn size(resources: &Resources) -> (usize, usize) {
    let all = ResourceType::ALL
        .into_iter()
        .flat_map(|kind| resources.of(kind).values());
    let bytes: Vec<usize> = all.map(|resource| resource.body().value.len()).collect();
    (bytes.len(), bytes.iter().sum())
}

fn row(name: &str, taken: &Taken) -> String {
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let (resources, bytes) = taken.gateway;
    format!(
        "| {name} | {} | {} | {} | {} | {} | {resources} | {} |",
        ms(taken.topology),
        ms(taken.edit),
        ms(taken.share),
        ms(taken.lease),
        ms(taken.planning),
        bytes >> 10
    )
}

/// The slope of the line that fits these points best.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let along: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let across: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    across / along
}
