//! How soon regions give first tokens, by what this Envoy's guards see. Each worker keeps what it sees itself, and tells the
//! others ten times a second how many of its attempts wait.

use super::board::Board;
use crate::host::Host;
use crate::pace::Pace;
use crate::routes::{PoolId, pool_name};
use std::collections::HashMap;

/// A line for each pool: how many attempts wait, then the pool's name.
const TOPIC: &str = "pace";

/// The paces of pools, by the pools' names.
#[derive(Debug, Default)]
pub struct Paces(HashMap<String, Pace>);

impl Paces {
    /// An attempt begins. How many wait, this one included.
    pub fn begin(&mut self, region: &str, model: &str) -> u32 {
        self.pace(region, model).begin()
    }

    /// An attempt's first token has come after so many milliseconds; `before` is what [`Paces::begin`] gave.
    pub fn first_token(
        &mut self,
        region: &str,
        model: &str,
        before: u32,
        took_ms: u64,
        now_ms: u64,
    ) {
        let seconds = took_ms as f64 / 1000.0;
        self.pace(region, model)
            .first_token(before, seconds, now_ms);
    }

    /// An attempt is over without a first token.
    pub fn gone(&mut self, region: &str, model: &str) {
        self.pace(region, model).gone();
    }

    /// Whether a pool has given a first token since a time, in milliseconds.
    pub fn has_answered(&self, region: &str, model: &str, since_ms: u64) -> bool {
        let pace = self.0.get(&pool_name(region, model));
        pace.is_some_and(|pace| pace.has_answered(since_ms))
    }

    /// What is known of a pool.
    pub fn of(&self, pool: &PoolId) -> Pace {
        self.0.get(&pool.name).copied().unwrap_or_default()
    }

    /// SignalFormat the other workers how many attempts wait here, and reads how many wait there.
    pub fn exchange(&mut self, host: &dyn Host, board: &Board) {
        let waiting = self.0.iter().filter(|(_, pace)| pace.own() > 0);
        let text = waiting.fold(String::new(), |text, (pool, pace)| {
            text + &format!("{} {pool}\n", pace.own())
        });
        board.write(host, TOPIC, &text);
        let mut elsewhere: HashMap<String, u32> = HashMap::new();
        for text in board.read(host, TOPIC) {
            for (count, pool) in text.lines().filter_map(|line| line.split_once(' ')) {
                *elsewhere.entry(pool.to_owned()).or_default() += count.parse::<u32>().unwrap_or(0);
            }
        }
        for (pool, pace) in &mut self.0 {
            pace.set_elsewhere(elsewhere.get(pool).copied().unwrap_or_default());
        }
    }

    fn pace(&mut self, region: &str, model: &str) -> &mut Pace {
        self.0.entry(pool_name(region, model)).or_default()
    }
}
