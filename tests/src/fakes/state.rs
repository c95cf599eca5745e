use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::behaviour::{Behaviour, Kind};
use super::generation::Finish;
use super::metrics::Counters;
use super::recorded::Log;

/// What both ports of a fake share.
pub(super) struct State {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) body_bytes: AtomicU64,
    pub(super) probes: AtomicU64,
    pub(super) scrapes: AtomicU64,
    pub(super) generated: AtomicUsize,
    behaviour: watch::Sender<Behaviour>,
    gate: Semaphore,
    seats: Mutex<Arc<Semaphore>>,
    running: AtomicU32,
    waiting: AtomicU32,
    ids: AtomicU64,
    log: Mutex<Log>,
    counters: Mutex<Counters>,
}

impl State {
    pub(super) fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            body_bytes: AtomicU64::new(0),
            probes: AtomicU64::new(0),
            scrapes: AtomicU64::new(0),
            generated: AtomicUsize::new(0),
            behaviour: watch::Sender::new(Behaviour::default()),
            gate: Semaphore::new(0),
            seats: Mutex::new(Arc::new(Semaphore::new(Semaphore::MAX_PERMITS))),
            running: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            ids: AtomicU64::new(1),
            log: Mutex::default(),
            counters: Mutex::default(),
        }
    }

    pub(super) fn behaviour(&self) -> Behaviour {
        self.behaviour.borrow().clone()
    }

    /// Applies `change` at once for all; what tokens were released before gating begins is forgotten. Who waits for a seat goes on
    /// waiting among those who came under the same number of seats.
    pub(super) fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        self.behaviour.send_modify(|behaviour| {
            let (gated, seats) = (behaviour.gated, behaviour.seats);
            change(behaviour);
            if behaviour.seats != seats {
                let seats = match behaviour.seats {
                    0 => Semaphore::MAX_PERMITS,
                    seats => seats,
                };
                *self.seats() = Arc::new(Semaphore::new(seats));
            }
            if behaviour.gated && !gated {
                self.gate.forget_permits(Semaphore::MAX_PERMITS);
            }
        });
    }

    pub(super) fn release(&self, tokens: usize) {
        self.gate.add_permits(tokens);
    }

    /// Waits for a released token, or for the end of gating.
    pub(super) async fn pass_gate(&self) {
        let mut behaviour = self.behaviour.subscribe();
        tokio::select! {
            biased;
            _ = behaviour.wait_for(|behaviour| !behaviour.gated) => {}
            permit = self.gate.acquire() => {
                if let Ok(permit) = permit {
                    permit.forget();
                }
            }
        }
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seats(&self) -> MutexGuard<'_, Arc<Semaphore>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn running(&self) -> u32 {
        self.running.load(Ordering::SeqCst)
    }

    /// Of those that run: how many wait for a seat.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::SeqCst)
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::SeqCst)
    }
}

/// Unix seconds.
pub(super) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// An inference request in work. It counts as running until it is dropped, however that happens.
pub(super) struct Running {
    state: Arc<State>,
    record: u64,
    since: Instant,
    prompt_tokens: usize,
    seat: Option<OwnedSemaphorePermit>,
    complete: bool,
}

/// Counts a request that waits, until it is dropped.
struct Waiting<'a>(&'a State);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Running {
    /// `record` is the request's number in the log.
    pub(super) fn start(state: &Arc<State>, record: u64, prompt_tokens: usize) -> Self {
        state.running.fetch_add(1, Ordering::SeqCst);
        Self {
            state: Arc::clone(state),
            record,
            since: Instant::now(),
            prompt_tokens,
            seat: None,
            complete: false,
        }
    }

    /// Waits until it is worked on.
    pub(super) async fn take_seat(&mut self) {
        let seats = self.state.seats().clone();
        self.state.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.state);
        self.seat = seats.acquire_owned().await.ok();
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn first_token(&self) {
        let mut counters = self.state.counters();
        counters.prompt_tokens += self.prompt_tokens as u64;
        counters
            .time_to_first_token
            .observe(self.since.elapsed().as_secs_f64());
    }

    pub(super) fn finish(mut self, tokens: usize, finish: Finish) {
        self.complete = true;
        let mut counters = self.state.counters();
        counters.generation_tokens += tokens as u64;
        *counters.finished.entry(finish).or_default() += 1;
        counters.latency.observe(self.since.elapsed().as_secs_f64());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.state.running.fetch_sub(1, Ordering::SeqCst);
        if !self.complete {
            self.state.log().gone(self.record);
        }
    }
}
