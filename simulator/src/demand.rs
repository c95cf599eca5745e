//! Demand: the goodput of a region, and the assignment of a trace's requests to regions. No published trace says where its
//! callers are, so a region's share of the requests follows its configured load.

use crate::case::Request;
use crate::objective::Objective;
use crate::profile::Profile;
use crate::replica::{Replica, TokenEvent};
use crate::topology::{RegionLocation, open_zone, pinned_zone};
use crate::trace::TraceRequest;
use rand::RngExt;
use rand::rand_core::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Share of a European region's callers that belong to the pinned zone, 0 to 1.
const PINNED_SHARE: f64 = 0.8;

/// Goodput of a region in requests per second: the highest rate at which [`REQUIRED_ATTAINMENT`] of the requests meet the
/// objective. Arrivals are Poisson, and each request goes to the less loaded of two random servers.
pub fn goodput(
    profile: &Profile,
    replicas: usize,
    trace: &[TraceRequest],
    objective: &Objective,
) -> f64 {
    let (mut low, mut high) = (0.0, 100.0 * replicas as f64);
    for _ in 0..12 {
        let rate = f64::midpoint(low, high);
        if attainment(profile, replicas, trace, objective, rate) >= REQUIRED_ATTAINMENT {
            low = rate;
        } else {
            high = rate;
        }
    }
    low
}

/// SLO attainment at a request rate, 0 to 1.
fn attainment(
    profile: &Profile,
    replicas: usize,
    trace: &[TraceRequest],
    objective: &Objective,
    rate: f64,
) -> f64 {
    const REQUESTS: usize = 3000;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut pool = vec![Replica::new(*profile); replicas];
    // Arrival time and lengths of each request.
    let mut arrived: Vec<(f64, TraceRequest)> = Vec::with_capacity(REQUESTS);
    let mut ttft: Vec<f64> = vec![f64::INFINITY; REQUESTS];
    let mut met = 0;
    let mut arrival = 0.0;
    loop {
        let next = pool.iter().enumerate();
        let next = next.filter_map(|(index, replica)| Some((index, replica.passes_end()?)));
        let next = next.min_by(|(_, one), (_, other)| one.total_cmp(other));
        if arrived.len() < REQUESTS && next.is_none_or(|(_, ends)| arrival < ends) {
            let request = trace[random.random_range(0..trace.len())];
            let (one, other) = (
                random.random_range(0..replicas),
                random.random_range(0..replicas),
            );
            let better = if pool[one].requests() <= pool[other].requests() {
                one
            } else {
                other
            };
            pool[better].enqueue(arrived.len(), request.prompt, request.output, arrival);
            pool[better].start_passes(arrival);
            arrived.push((arrival, request));
            arrival -= (1.0 - random.random::<f64>()).ln() / rate;
            continue;
        }
        let Some((index, now)) = next else {
            break;
        };
        for event in pool[index].finish_passes() {
            match event {
                TokenEvent::First(id) => ttft[id] = now - arrived[id].0,
                TokenEvent::Last(id) => {
                    let (at, request) = arrived[id];
                    met += usize::from(objective.is_met(
                        request.prompt,
                        request.output,
                        ttft[id],
                        now - at,
                    ));
                }
            }
        }
        pool[index].start_passes(now);
    }
    met as f64 / REQUESTS as f64
}

/// SLO attainment at which goodput is measured.
const REQUIRED_ATTAINMENT: f64 = 0.95;

/// The requests of a case of some seconds. `rate` returns a region's requests per second by region and second. As many copies of
/// the trace as the peak rate needs run at once, each from a random offset. Requests are dropped at random to match the rates,
/// which keeps the trace's bursts.
pub fn assign(
    trace: &[TraceRequest],
    locations: &[RegionLocation],
    rate: impl Fn(usize, f64) -> f64,
    seconds: f64,
    seed: u64,
) -> Vec<Request> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let length = trace.last().map_or(1.0, |request| request.at + 1.0);
    let trace_rate = trace.len() as f64 / length;
    let total = |now: f64| -> f64 { (0..locations.len()).map(|region| rate(region, now)).sum() };
    let peak = (0..=seconds as u32)
        .map(|now| total(f64::from(now)))
        .fold(0.0, f64::max);
    let copies = (peak / trace_rate).ceil().max(1.0) as u32;
    let mut requests = Vec::new();
    for copy in 0..copies {
        let offset = random.random::<f64>() * length;
        for recorded in trace {
            let at = (recorded.at - offset).rem_euclid(length);
            // A trace that is shorter than the case repeats.
            let repeats = (seconds / length).ceil() as u32;
            for repeat in 0..repeats.max(1) {
                let at = at + f64::from(repeat) * length;
                if at >= seconds {
                    continue;
                }
                let drawn = random.random::<f64>() * trace_rate * f64::from(copies);
                let mut sum = 0.0;
                let home = (0..locations.len()).find(|region| {
                    sum += rate(*region, at);
                    drawn < sum
                });
                let Some(home) = home else {
                    continue;
                };
                let is_pinned = locations[home].in_eea && random.random::<f64>() < PINNED_SHARE;
                requests.push(Request {
                    at,
                    home,
                    zone: if is_pinned {
                        pinned_zone()
                    } else {
                        open_zone()
                    },
                    prompt: recorded.prompt.max(1),
                    output: recorded.output.max(1),
                    session: recorded
                        .session
                        .map(|session| session ^ (u64::from(copy) << 56)),
                });
            }
        }
    }
    requests.sort_by(|one, other| one.at.total_cmp(&other.at));
    requests
}
