//! Demand: the requests of a trace, put on regions. No trace says where its callers are, so that is ours to say: a region's
//! callers are awake by its own clock, and as many as its load says.

use crate::case::Request;
use crate::objective::Objective;
use crate::profile::Profile;
use crate::replica::{Made, Replica};
use crate::topology::{Place, everybody, pinned};
use crate::trace::Job;
use rand::RngExt;
use rand::rand_core::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Of a pinned region's callers, those of the pinned zone, a ratio.
const PINNED: f64 = 0.8;

/// Requests per second that a region of so many replicas serves with at least [`GOOD`] of them as promised: what a fleet is
/// provisioned by. They come at random, and each goes to the better one of two replicas.
pub fn goodput(profile: &Profile, replicas: usize, jobs: &[Job], objective: &Objective) -> f64 {
    let (mut low, mut high) = (0.0, 100.0 * replicas as f64);
    for _ in 0..12 {
        let rate = f64::midpoint(low, high);
        if attainment(profile, replicas, jobs, objective, rate) >= GOOD {
            low = rate;
        } else {
            high = rate;
        }
    }
    low
}

/// The part of all requests that gets what is promised, at a rate.
fn attainment(
    profile: &Profile,
    replicas: usize,
    jobs: &[Job],
    objective: &Objective,
    rate: f64,
) -> f64 {
    const REQUESTS: usize = 3000;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut pool = vec![Replica::new(*profile); replicas];
    // When each came, and what was asked.
    let mut asked: Vec<(f64, Job)> = Vec::with_capacity(REQUESTS);
    let mut first: Vec<f64> = vec![f64::INFINITY; REQUESTS];
    let mut met = 0;
    let mut comes = 0.0;
    loop {
        let ends = pool.iter().enumerate();
        let ends = ends.filter_map(|(index, replica)| Some((index, replica.ends()?)));
        let next = ends.min_by(|(_, one), (_, other)| one.total_cmp(other));
        if asked.len() < REQUESTS && next.is_none_or(|(_, ends)| comes < ends) {
            let job = jobs[random.random_range(0..jobs.len())];
            let (one, other) = (
                random.random_range(0..replicas),
                random.random_range(0..replicas),
            );
            let better = if pool[one].requests() <= pool[other].requests() {
                one
            } else {
                other
            };
            pool[better].arrive(asked.len(), job.prompt, job.output, comes);
            pool[better].begin(comes);
            asked.push((comes, job));
            comes -= (1.0 - random.random::<f64>()).ln() / rate;
            continue;
        }
        let Some((index, now)) = next else {
            break;
        };
        for made in pool[index].end() {
            match made {
                Made::First(id) => first[id] = now - asked[id].0,
                Made::Last(id) => {
                    let (at, job) = asked[id];
                    met +=
                        usize::from(objective.is_met(job.prompt, job.output, first[id], now - at));
                }
            }
        }
        pool[index].begin(now);
    }
    met as f64 / REQUESTS as f64
}

/// What a region is provisioned for.
const GOOD: f64 = 0.95;

/// Requests for some seconds; `rate` says, by region and second, how many of its own callers' come per second. A trace is played as often at a time as the rates need, each time from another place in it, and
/// its requests are left out with the probability that gives the rates of that moment: its bursts stay.
pub fn place(
    jobs: &[Job],
    places: &[Place],
    rate: impl Fn(usize, f64) -> f64,
    seconds: f64,
    seed: u64,
) -> Vec<Request> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let length = jobs.last().map_or(1.0, |job| job.at + 1.0);
    let own = jobs.len() as f64 / length;
    let all = |now: f64| -> f64 { (0..places.len()).map(|region| rate(region, now)).sum() };
    let most = (0..=seconds as u32)
        .map(|now| all(f64::from(now)))
        .fold(0.0, f64::max);
    let copies = (most / own).ceil().max(1.0) as u32;
    let mut requests = Vec::new();
    for copy in 0..copies {
        let begin = random.random::<f64>() * length;
        for job in jobs {
            let at = (job.at - begin).rem_euclid(length);
            // A trace that is shorter than the case is played again.
            let times = (seconds / length).ceil() as u32;
            for time in 0..times.max(1) {
                let at = at + f64::from(time) * length;
                if at >= seconds {
                    continue;
                }
                let drawn = random.random::<f64>() * own * f64::from(copies);
                let mut sum = 0.0;
                let home = (0..places.len()).find(|region| {
                    sum += rate(*region, at);
                    drawn < sum
                });
                let Some(home) = home else {
                    continue;
                };
                let is_pinned = places[home].eea && random.random::<f64>() < PINNED;
                requests.push(Request {
                    at,
                    home,
                    zone: if is_pinned { pinned() } else { everybody() },
                    prompt: job.prompt.max(1),
                    output: job.output.max(1),
                    session: job.session.map(|session| session ^ (u64::from(copy) << 56)),
                });
            }
        }
    }
    requests.sort_by(|one, other| one.at.total_cmp(&other.at));
    requests
}
