//! What a hunt saw, and the verdict.

use super::history::History;
use super::operators::Tally;
use crate::kill_hunt;
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a hunt saw.
#[derive(Debug, Default)]
pub struct Seen {
    pub(super) seed: u64,
    pub(super) took: Duration,
    pub(super) requests: u32,
    /// The longest time until a whole answer.
    pub(super) longest: Duration,
    /// By the kind of fault: how often, and the longest time until another replica led.
    pub(super) faults: BTreeMap<&'static str, (u32, Duration)>,
    /// Resources that were sent after quiet faults, and after others without being new.
    pub(super) quiet: usize,
    pub(super) again: usize,
    pub(super) operators: Tally,
    pub(super) history: History,
    pub(super) wrong: Vec<String>,
}

/// What a hunt saw, or what was wrong with it.
///
/// # Errors
/// A request failed, an intent was lost or doubled, two led at a time, or something was sent again.
pub fn conclude(seen: &Seen) -> Result<String> {
    let Seen {
        seed,
        took,
        requests,
        longest,
        faults,
        quiet,
        again,
        operators,
        history,
        wrong,
    } = seen;
    if !wrong.is_empty() {
        let some: Vec<&str> = wrong.iter().take(8).map(String::as_str).collect();
        bail!("seed {seed}: {} wrong: {}", wrong.len(), some.join("\n"));
    }
    let faults: Vec<String> = faults
        .iter()
        .map(|(name, (count, longest))| {
            format!("{name} {count} times (followed within {longest:.1?})")
        })
        .collect();
    Ok(format!(
        "seed {seed}: in {took:.0?} {}; {requests} requests at {}/s, none failed, the longest {longest:.1?}; {operators}; {history}; \
         {quiet} resources sent after faults in which nothing had changed, {again} sent again after the others",
        faults.join(", "),
        kill_hunt::RATE
    ))
}
