//! What callers got.

use super::caller::Ended;
use super::sightings::Sighting;
use std::collections::BTreeMap;
use std::fmt;

/// Statuses besides 200 that a caller, or its client, can act on. All others of 4xx are the API's own.
const REFUSALS: [u16; 4] = [307, 502, 503, 504];

/// Answers that may not be are kept up to this many.
const KEPT: usize = 20;

/// Counts of what callers got.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// All requests.
    pub requests: u64,
    /// Requests that some place saw.
    pub seen: u64,
    /// By outcome.
    outcomes: BTreeMap<String, u64>,
    /// Answers that may not be.
    pub wrong: Vec<String>,
}

impl Tally {
    /// Counts a request.
    pub fn note(&mut self, ended: &Ended, seen: &[Sighting]) {
        self.requests += 1;
        self.seen += u64::from(!seen.is_empty());
        let status = ended.heard.status;
        let outcome = match (status, ended.failure) {
            (Some(200), None) => format!("200 by {}", ended.heard.by),
            (Some(status), None) => status.to_string(),
            (Some(status), Some(failure)) => format!("{status}, {failure}"),
            (None, failure) => failure.unwrap_or_default().to_owned(),
        };
        *self.outcomes.entry(outcome).or_default() += 1;
        let is_right = match status {
            Some(200) => seen
                .iter()
                .any(|sighting| sighting.place.is_named(&ended.heard.by)),
            Some(status) => REFUSALS.contains(&status) || (400..500).contains(&status),
            None => true,
        };
        if !is_right && self.wrong.len() < KEPT {
            self.wrong.push(format!("{ended:?}, seen {seen:?}"));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, seen) = (self.requests, self.seen);
        write!(
            out,
            "{requests} requests, of which places saw {seen}; callers got:"
        )?;
        for (outcome, count) in &self.outcomes {
            let percent = *count as f64 * 100.0 / requests.max(1) as f64;
            write!(out, "\n  {outcome:<28} {count:>7} {percent:>5.1} %")?;
        }
        Ok(())
    }
}
