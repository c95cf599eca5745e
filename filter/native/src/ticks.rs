//! Ticks of worker threads. Envoy gives a module no timer. A thread of the module's wakes each worker through one of its streams, its
//! carrier. Without a stream there is nothing to be ended; what is due then is done as soon as there is one. The time until then counts, as
//! leases run on: the thread knows whether the process ran.

use crate::abi::{
    Ptr, envoy_dynamic_module_callback_http_filter_scheduler_commit as commit,
    envoy_dynamic_module_callback_http_filter_scheduler_delete as delete,
    envoy_dynamic_module_callback_http_filter_scheduler_new as new,
};
use meridian_filter_core::clock::MAX_STEP_MS;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// The number of the event by which a worker is told to tick.
const TICK: u64 = 0;

/// The time between two ticks, in milliseconds.
static PERIOD_MS: AtomicU64 = AtomicU64::new(100);

/// The workers' carriers.
static CARRIERS: Mutex<Vec<Weak<Scheduler>>> = Mutex::new(Vec::new());

/// What wakes a worker: Envoy's scheduler of its carrier.
#[derive(Default)]
struct Scheduler(Mutex<Option<Handle>>);

/// A scheduler of Envoy's.
struct Handle(Ptr);

// SAFETY: Envoy's schedulers are for use from other threads.
unsafe impl Send for Handle {}

impl Handle {
    fn of(filter: Ptr) -> Self {
        // SAFETY: the filter is there: its stream is not over.
        Self(unsafe { new(filter) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: Envoy made it, and nobody uses it any longer.
        unsafe { delete(self.0) };
    }
}

/// What the thread has seen of the process.
static SEEN: Mutex<Seen> = Mutex::new(Seen {
    woke: None,
    standstills: 0,
});

struct Seen {
    /// When the thread woke last.
    woke: Option<Instant>,
    /// How often the process has stood still.
    standstills: u64,
}

impl Seen {
    fn stands_still(&self, now: Instant) -> bool {
        self.woke
            .is_none_or(|woke| now.duration_since(woke) > Duration::from_millis(MAX_STEP_MS))
    }
}

fn seen() -> MutexGuard<'static, Seen> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note_wake() {
    let (mut seen, now) = (seen(), Instant::now());
    seen.standstills += u64::from(seen.stands_still(now));
    seen.woke = Some(now);
}

/// Ticks come at least this often from now on.
pub fn at_least_every(period: Duration) {
    static THREAD: Once = Once::new();
    let period = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
    PERIOD_MS.fetch_min(period.max(1), Ordering::Relaxed);
    // Without the thread streams end by Envoy's own limits.
    THREAD.call_once(|| {
        let _ = thread::Builder::new()
            .name("meridian".into())
            .spawn(wake_workers);
    });
}

fn period() -> Duration {
    Duration::from_millis(PERIOD_MS.load(Ordering::Relaxed))
}

fn wake_workers() {
    loop {
        note_wake();
        thread::sleep(period());
        let mut carriers = CARRIERS.lock().unwrap_or_else(PoisonError::into_inner);
        carriers.retain(|carrier| {
            let Some(carrier) = carrier.upgrade() else {
                return false;
            };
            if let Some(scheduler) = &*carrier.0.lock().unwrap_or_else(PoisonError::into_inner) {
                // SAFETY: the worker takes it away, under this lock, before its stream is over.
                unsafe { commit(scheduler.0, TICK) };
            }
            true
        });
    }
}

/// The stream through which a worker is woken.
#[derive(Default)]
pub struct Carrier {
    /// Its number.
    stream: Option<u32>,
    scheduler: Option<Arc<Scheduler>>,
    ticked: Option<Instant>,
    /// How often the process had stood still by then.
    standstills: u64,
}

impl Carrier {
    /// A stream begins that can be the carrier.
    pub fn begin(&mut self, stream: u32, filter: Ptr) {
        if self.stream.is_none() {
            self.become_carrier(Some((stream, filter)));
        }
    }

    /// A stream is over. `next`: another one that can be it.
    pub fn end(&mut self, stream: u32, next: Option<(u32, Ptr)>) {
        if self.stream == Some(stream) {
            self.become_carrier(next);
        }
    }

    fn become_carrier(&mut self, of: Option<(u32, Ptr)>) {
        self.stream = of.map(|(stream, _)| stream);
        let scheduler = self.scheduler.get_or_insert_with(|| {
            let scheduler = Arc::default();
            let mut all = CARRIERS.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(Arc::downgrade(&scheduler));
            scheduler
        });
        *scheduler.0.lock().unwrap_or_else(PoisonError::into_inner) =
            of.map(|(_, filter)| Handle::of(filter));
    }

    /// Whether the process has run since the last call of this, as far as the thread has seen.
    pub fn has_run(&mut self) -> bool {
        let seen = seen();
        let before = std::mem::replace(&mut self.standstills, seen.standstills);
        before == seen.standstills && !seen.stands_still(Instant::now())
    }

    /// Whether the worker is to tick now: the last tick was longer ago than a period.
    pub fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self
            .ticked
            .is_none_or(|at| now.duration_since(at) >= period());
        if is_due {
            self.ticked = Some(now);
        }
        is_due
    }
}
