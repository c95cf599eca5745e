//! What one request asks, and what each member does with it.

use super::act::Act;
use super::caller::Call;
use anyhow::{Context, Result};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// The members of the chain of callers in the USA at us-west-2, in order: an HTTP/1 pool, two HTTP/2 peers, and a fallback behind an
/// internal listener.
pub const MEMBERS: [&str; 4] = ["us-west-2", "us-east-1", "eu-west-1", "claude"];

/// One request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Its number.
    pub id: u64,
    /// The caller asks for a stream.
    pub streamed: bool,
    /// The caller speaks HTTP/2.
    pub http2: bool,
    /// The caller leaves after this time.
    pub leaves_after_ms: Option<u64>,
    /// What each of [`MEMBERS`] does.
    pub parts: Vec<Part>,
}

/// What one member does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Before anything else, in milliseconds.
    pub delay_ms: u64,
    /// Between the head and the body, in milliseconds.
    pub pause_ms: u64,
    /// What comes then.
    pub act: Act,
}

/// Nothing, less than the limit, about the limit, and more.
const DELAYS: [u64; 7] = [0, 0, 0, 50, 250, 330, 700];
const PAUSES: [u64; 5] = [0, 0, 0, 30, 320];

impl Plan {
    /// The next random plan.
    pub fn random(random: &mut impl Rng, id: u64) -> Self {
        let streamed = random.random_ratio(2, 3);
        let parts = MEMBERS.map(|_| Part {
            delay_ms: one_of(random, &DELAYS),
            pause_ms: one_of(random, &PAUSES),
            act: one_of(random, Act::all(streamed)),
        });
        Self {
            id,
            streamed,
            http2: random.random_ratio(1, 3),
            leaves_after_ms: random
                .random_ratio(1, 12)
                .then(|| random.random_range(0..1500)),
            parts: parts.into(),
        }
    }

    /// A random plan of which most take no time: of four in five the first member answers well, and of most others it fails at once.
    pub fn mostly_quick(random: &mut impl Rng) -> Self {
        // Servers count the requests of each number.
        let id = random.random_range(0..4096);
        let mut plan = Self::random(random, id);
        plan.http2 = random.random_ratio(1, 20);
        if random.random_ratio(1, 25) {
            return plan;
        }
        plan.leaves_after_ms = random
            .random_ratio(1, 50)
            .then(|| random.random_range(0..10));
        for part in &mut plan.parts {
            (part.delay_ms, part.pause_ms) = (0, 0);
            if part.act.takes_time() {
                part.act = Act::Good;
            }
        }
        if random.random_ratio(4, 5)
            && let Some(first) = plan.parts.first_mut()
        {
            first.act = Act::Good;
        }
        plan
    }

    /// The request: its body carries the plan.
    pub fn call(&self) -> Result<Call> {
        let content = serde_json::to_string(self)?;
        let body = json!({ "model": crate::world::MODEL, "stream": self.streamed, "messages": [{ "role": "user", "content": content }] });
        Ok(Call {
            body: body.to_string(),
            http2: self.http2,
            leaves_after: self.leaves_after_ms.map(Duration::from_millis),
        })
    }

    /// The plan in a request's body.
    pub fn read(body: &[u8]) -> Result<Self> {
        let body: Value = serde_json::from_slice(body)?;
        let content = body["messages"][0]["content"].as_str();
        Ok(serde_json::from_str(content.context("no plan")?)?)
    }
}

fn one_of<T: Copy>(random: &mut impl Rng, all: &[T]) -> T {
    all[random.random_range(0..all.len())]
}
