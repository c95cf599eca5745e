//! The callers, and the judgement of each request: soon after its end, and once more when late bytes have come.

use super::call::Call;
use super::caller::{Ended, ask};
use super::generations::Generations;
use super::ground::{Ground, Ledger};
use super::judge::{Place, is_clean};
use super::leak::{Case, Leak};
use super::plan::{Hunt, Kind};
use super::sightings::{Sighting, Sightings, lock, now};
use super::tally::Tally;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Between two requests.
const EVERY: Duration = Duration::from_millis(14);

/// Requests at a time.
const MOST: usize = 400;

/// From the end of a request to the two looks at it, in milliseconds: when the gateway was polled, and when late bytes have come.
const FIRST_LOOK: u64 = 2_500;
const LAST_LOOK: u64 = 25_000;

/// Interval between two passes over the requests that have ended.
const LOOK: Duration = Duration::from_millis(200);

/// Times by which a worker would have to be late for a leak to be none, in milliseconds: they show how sure it is.
const LATER: [u64; 3] = [250, 500, 1_000];

/// What the hunt has found so far.
#[derive(Default)]
pub struct Found {
    /// What callers got.
    pub tally: Tally,
    /// The leaks that nobody has taken yet.
    pub leaks: Vec<Leak>,
}

/// The callers; they end when it is dropped.
pub struct Traffic {
    tasks: Vec<JoinHandle<()>>,
    judge: Arc<Judge>,
}

/// Judges requests by what places saw of them.
struct Judge {
    sightings: Arc<Sightings>,
    generations: Arc<Generations>,
    ledger: Arc<Mutex<Ledger>>,
    /// Whether a definition counts as possible that was in the fleet file when the request was decided.
    file_counts: bool,
    found: Mutex<Found>,
    /// When each request was sent that was not judged yet.
    outstanding: Mutex<BTreeMap<u32, u64>>,
    next: AtomicU32,
    /// No more bytes are waited for.
    is_closing: AtomicBool,
}

impl Traffic {
    /// Begins to send.
    pub fn start(ground: &Ground<'_>, hunt: &Hunt) -> Self {
        let slow_uploads = hunt.kinds.contains(&Kind::SlowUpload);
        let judge = Arc::new(Judge {
            sightings: ground.sightings.clone(),
            generations: ground.generations.clone(),
            ledger: ground.ledger.clone(),
            file_counts: hunt.file_counts,
            found: Mutex::default(),
            outstanding: Mutex::default(),
            next: AtomicU32::new(1),
            is_closing: AtomicBool::new(false),
        });
        let (ended, to_judge) = unbounded_channel();
        let callers = call(
            ground.gateways(),
            judge.clone(),
            ended,
            hunt.seed,
            slow_uploads,
        );
        let tasks = vec![
            tokio::spawn(callers),
            tokio::spawn(look_at_all(judge.clone(), to_judge)),
        ];
        Self { tasks, judge }
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        u64::from(self.judge.next.load(Ordering::Relaxed)) - 1
    }

    /// Waits until every request was judged that was sent before this time.
    pub async fn until_judged(&self, time: u64) {
        let is_waiting = || {
            lock(&self.judge.outstanding)
                .values()
                .any(|sent| *sent < time)
        };
        while is_waiting() {
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The leaks since the last time.
    pub fn take_leaks(&self) -> Vec<Leak> {
        std::mem::take(&mut lock(&self.judge.found).leaks)
    }

    /// What callers got so far.
    pub fn tally(&self) -> Tally {
        lock(&self.judge.found).tally.clone()
    }

    /// No more requests; the last ones are judged.
    pub async fn end(&self) {
        self.tasks[0].abort();
        self.until_judged(u64::MAX).await;
        self.judge.is_closing.store(true, Ordering::Relaxed);
        sleep(2 * LOOK).await;
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn call(
    gateways: BTreeMap<&'static str, SocketAddr>,
    judge: Arc<Judge>,
    ended: UnboundedSender<Ended>,
    seed: u64,
    slow_uploads: bool,
) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let permits = Arc::new(Semaphore::new(MOST));
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        let id = judge.next.fetch_add(1, Ordering::Relaxed);
        let call = Call::random(&mut random, id, slow_uploads);
        let gateway = gateways[call.caller.gateway];
        lock(&judge.outstanding).insert(id, now());
        let ended = ended.clone();
        tokio::spawn(async move {
            let heard = ask(gateway, call).await;
            let _ = ended.send(heard);
            drop(permit);
        });
    }
}

async fn look_at_all(judge: Arc<Judge>, mut to_judge: UnboundedReceiver<Ended>) {
    // Requests that wait for a look, with whether they had the first one already.
    let mut waiting: Vec<(Ended, bool)> = Vec::new();
    loop {
        sleep(LOOK).await;
        while let Ok(ended) = to_judge.try_recv() {
            waiting.push((ended, false));
        }
        waiting.retain_mut(|(ended, had_first)| judge.look(ended, had_first));
    }
}

impl Judge {
    /// Looks at a request if it is time. Whether it is to be looked at once more.
    fn look(&self, ended: &Ended, had_first: &mut bool) -> bool {
        let (id, age) = (ended.call.id, now() - ended.ended_at);
        let is_closing = self.is_closing.load(Ordering::Relaxed);
        let is_last = age >= LAST_LOOK || is_closing && *had_first;
        if !(is_last || age >= FIRST_LOOK && !*had_first) {
            return true;
        }
        let request_id = ended.heard.request_id.as_deref();
        let seen = self.sightings.of(id, request_id);
        let leak = self.leak(ended, &seen);
        let is_leak = leak.is_some();
        let mut found = lock(&self.found);
        found.leaks.extend(leak);
        if !*had_first {
            found.tally.note(ended, &seen);
            lock(&self.outstanding).remove(&id);
        }
        *had_first = true;
        let is_done = is_last || is_leak;
        if is_done {
            self.sightings.forget(id, request_id);
        }
        !is_done
    }

    fn leak(&self, ended: &Ended, seen: &[Sighting]) -> Option<Leak> {
        let mut places: Vec<Place> = seen.iter().map(|sighting| sighting.place).collect();
        places.sort_unstable();
        places.dedup();
        // The decision is made before any place sees the request, and before there is an answer. A transit is noted late.
        let first = seen
            .iter()
            .filter(|sighting| !matches!(sighting.place, Place::Peer(_)))
            .map(|sighting| sighting.at)
            .min();
        let decided = first.into_iter().chain(ended.heard.head_at).min();
        let decided = decided.unwrap_or(ended.ended_at);
        let ledger = lock(&self.ledger);
        let newest = ledger.newest();
        let caller = ended.call.caller;
        // `late`: how much later than it should a worker may have applied a policy, in milliseconds.
        let possible = |late: u64| {
            let times = (ended.sent_at.saturating_sub(late), decided);
            self.generations.possible(caller.gateway, times, newest)
        };
        let is_clean = |generations| is_clean(&ledger.definitions, caller, generations, &places);
        let (least, greatest) = possible(0);
        let as_written = is_clean((least, greatest.max(ledger.written_by(decided))));
        if is_clean((least, greatest)) || as_written && self.file_counts {
            return None;
        }
        let is_clean_if_late = |late: &u64| is_clean(possible(*late));
        Some(Leak::new(&Case {
            ended,
            seen,
            decided,
            generations: (least, greatest),
            as_written,
            clean_if_late: LATER.into_iter().find(is_clean_if_late),
            definitions: &ledger.definitions,
        }))
    }
}

#[cfg(test)]
mod tests;
