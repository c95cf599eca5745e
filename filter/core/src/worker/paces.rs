//! How soon regions answer, by what this Envoy's guards see. Each worker keeps what it sees itself, and tells the
//! others ten times a second how many of its attempts wait.

use super::board::Board;
use crate::host::Host;
use crate::pace::{Awaited, PoolPace};
use crate::routes::PoolId;
use hashbrown::HashMap;

/// A line for each pool: how many attempts wait, then the pool's name.
const TOPIC: &str = "pace";

/// The paces of pools, by the pools' names.
#[derive(Debug, Default)]
pub struct Paces(HashMap<String, PoolPace>);

impl Paces {
    /// An attempt begins.
    pub fn begin(&mut self, pool: &str, streamed: bool, now_ms: u64) -> Awaited {
        self.pool(pool).begin(streamed, now_ms)
    }

    /// What an attempt awaited has come after so many milliseconds.
    pub fn answered(&mut self, pool: &str, awaited: Awaited, took_ms: u64, now_ms: u64) {
        let seconds = took_ms as f64 / 1000.0;
        self.pool(pool).answered(awaited, seconds, now_ms);
    }

    /// An attempt is over without an answer.
    pub fn gone(&mut self, pool: &str, awaited: Awaited) {
        self.pool(pool).gone(awaited);
    }

    /// Whether a pool has answered any request since a time, in milliseconds.
    pub fn has_answered(&self, pool: &str, since_ms: u64) -> bool {
        let pool = self.0.get(pool);
        pool.is_some_and(|pool| pool.has_answered(since_ms))
    }

    /// What is known of a pool.
    pub fn of(&self, pool: &PoolId) -> PoolPace {
        self.0.get(&pool.name).copied().unwrap_or_default()
    }

    /// Attempts that wait for what they want.
    pub fn waiting(&self) -> u64 {
        let paces = self.0.values();
        paces.map(|pace| u64::from(pace.own())).sum()
    }

    /// Tells the other workers how many attempts wait here, and reads how many wait there.
    pub fn exchange(&mut self, host: &dyn Host, board: &Board) {
        let waiting = self.0.iter().filter(|(_, pace)| pace.streamed.own() > 0);
        let text = waiting.fold(String::new(), |text, (pool, pace)| {
            text + &format!("{} {pool}\n", pace.streamed.own())
        });
        board.write(host, TOPIC, &text);
        let mut elsewhere: HashMap<String, u32> = HashMap::new();
        for text in board.read(host, TOPIC) {
            for (count, pool) in text.lines().filter_map(|line| line.split_once(' ')) {
                *elsewhere.entry(pool.to_owned()).or_default() += count.parse::<u32>().unwrap_or(0);
            }
        }
        for (pool, pace) in &mut self.0 {
            let elsewhere = elsewhere.get(pool).copied().unwrap_or_default();
            pace.streamed.set_elsewhere(elsewhere);
        }
    }

    fn pool(&mut self, pool: &str) -> &mut PoolPace {
        self.0.entry_ref(pool).or_default()
    }
}
