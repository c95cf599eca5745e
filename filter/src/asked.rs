//! What an attempt is about, and what becomes of it in statistics and logs.

use crate::{log, memory, metric};
use proxy_wasm::types::LogLevel;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// Who is asked for what.
#[derive(Default)]
pub struct Asked {
    pub zone: String,
    pub model: String,
    pub lane: String,
    /// A region or `fallback/<name>`.
    pub to: String,
    pub request_id: String,
    pub is_broken: Cell<bool>,
}

/// How a stream breaks that falls silent.
pub const STALL: &str = "stall";

thread_local! {
    /// The request that was answered last in this worker: its other attempts are ended at that moment.
    static ANSWERED: RefCell<String> = RefCell::default();
    /// How many attempts of a request wait for an answer in this worker.
    static WAIT: RefCell<HashMap<String, u32>> = RefCell::default();
}

/// An attempt that waits for an answer.
pub struct Waits(String);

impl Waits {
    pub fn begin(request_id: &str) -> Self {
        let request_id = request_id.to_owned();
        WAIT.with_borrow_mut(|all| *all.entry(request_id.clone()).or_default() += 1);
        Self(request_id)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        WAIT.with_borrow_mut(|all| {
            if let Some(attempts) = all.get_mut(&self.0) {
                *attempts -= 1;
                if *attempts == 0 {
                    all.remove(&self.0);
                }
            }
        });
    }
}

impl Asked {
    /// An attempt is answered: from here on the others are ended.
    pub fn note_answered(&self) {
        ANSWERED.with_borrow_mut(|answered| answered.clone_from(&self.request_id));
    }

    /// It is the one that was answered last, so that this attempt is over because another was sooner.
    pub fn was_answered_last(&self) -> bool {
        ANSWERED.with_borrow(|answered| *answered == self.request_id)
    }

    /// Whether another attempt of the same request may still be answered.
    pub fn others_wait(&self) -> bool {
        WAIT.with_borrow(|all| all.contains_key(&self.request_id))
    }

    /// Counts how an attempt ended.
    pub fn count(&self, outcome: &str) {
        metric::attempt(&self.zone, &self.model, &self.lane, &self.to, outcome);
    }

    /// The caller has a part of the answer, and gets no more.
    pub fn broken(&self, how: &'static str) {
        if self.is_broken.replace(true) {
            return;
        }
        // A stream also stalls where its caller reads no further, which nobody tells: it is no region's failure.
        self.count(if how == STALL { "stalled" } else { "broken" });
        memory::note_broken(&self.request_id, how);
        self.failed(how, "after its first content");
    }

    /// Counts and logs an answer that was none.
    pub fn failed(&self, how: &str, when: &str) {
        metric::failure(&self.model, &self.to, how);
        let Self {
            model,
            to,
            request_id,
            ..
        } = self;
        log(
            LogLevel::Warn,
            &format!(
                "meridian: request {request_id}: {to}'s answer for {model} failed {when}: {how}"
            ),
        );
    }
}
