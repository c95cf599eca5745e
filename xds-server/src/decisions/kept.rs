//! The reports that are kept: those of the last minutes, in memory.

use super::record::{DecisionRecord, Outcome};
use meridian_planner::signal::Millis;
use meridian_policy::RegionName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// How long a report is kept.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// Most reports that are kept: about 40 MB.
const MOST: usize = 50_000;
/// Most reports in an answer.
const MOST_SHOWN: usize = 1000;
/// Largest number of a report: what all languages have as an integer of 64 bits.
const LARGEST_NUMBER: u64 = i64::MAX as u64;

/// The reports of the last minutes.
#[derive(Default)]
pub struct Kept(Mutex<State>);

#[derive(Default)]
struct State {
    last: u64,
    all: usize,
    /// The oldest first.
    by_gateway: BTreeMap<RegionName, VecDeque<Report>>,
}

/// A record, and when it came.
struct Report {
    came: Millis,
    record: DecisionRecord,
}

/// Which reports are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// The newest, so many of them.
    #[serde(default = "usual")]
    #[param(required = false, minimum = 1, maximum = 1000)]
    pub last: usize,
    /// Those after this number.
    #[serde(default)]
    #[param(required = false, maximum = 9_223_372_036_854_775_807_i64)]
    pub after: u64,
    /// Those of this gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Those of callers of this zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Those for this model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Those for which this region or fallback was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Those on this lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// Those with this outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub outcome: Option<Outcome>,
    /// Those with this `x-request-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

fn usual() -> usize {
    Wanted::USUAL
}

/// Reports of gateways.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Decisions {
    /// The reports, the oldest first.
    pub decisions: Vec<DecisionRecord>,
    /// The number of the newest one that is kept, whatever was wanted.
    pub newest: u64,
}

impl Wanted {
    /// How many are wanted if nothing else is said.
    pub const USUAL: usize = 100;

    /// Checks what its schema says.
    ///
    /// # Errors
    /// The parameter that is wrong.
    pub fn checked(self) -> Result<Self, String> {
        if self.after > LARGEST_NUMBER {
            return Err(format!("after: write a number from 0 to {LARGEST_NUMBER}"));
        }
        if self.last == 0 || self.last > MOST_SHOWN {
            return Err(format!("last: write a number from 1 to {MOST_SHOWN}"));
        }
        Ok(self)
    }

    fn fits(&self, record: &DecisionRecord) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| {
            wanted.is_none() || wanted.as_deref() == value
        };
        let asked = |region: &String| {
            record.region.as_ref() == Some(region)
                || record.attempts.iter().any(|attempt| attempt.to == *region)
        };
        record.number > self.after
            && is(&self.zone, record.zone.as_deref())
            && is(&self.model, record.model.as_deref())
            && is(&self.lane, record.lane.as_deref())
            && is(&self.request_id, Some(&record.request_id))
            && self.outcome.is_none_or(|wanted| wanted == record.outcome)
            && self.region.as_ref().is_none_or(asked)
    }
}

impl Kept {
    /// Keeps reports. They get their numbers.
    pub fn add(&self, records: Vec<DecisionRecord>, now: Millis) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            state.add(record, now);
        }
        state.forget(now);
    }

    /// The number of the newest report.
    pub fn newest(&self) -> u64 {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.last
    }

    /// The reports that are wanted.
    pub fn find(&self, wanted: &Wanted) -> Decisions {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for (gateway, kept) in &state.by_gateway {
            let is_wanted = |name: &String| name == gateway.as_str();
            if !wanted.gateway.as_ref().is_none_or(is_wanted) {
                continue;
            }
            let newer = kept.iter().rev();
            let newer = newer.take_while(|kept| kept.record.number > wanted.after);
            let fitting = newer.filter(|kept| wanted.fits(&kept.record));
            found.extend(fitting.take(wanted.last).map(|kept| kept.record.clone()));
        }
        found.sort_by_key(|record| record.number);
        let decisions = found.split_off(found.len().saturating_sub(wanted.last));
        Decisions {
            decisions,
            newest: state.last,
        }
    }
}

impl State {
    fn add(&mut self, record: DecisionRecord, now: Millis) {
        self.last += 1;
        let gateway = record.gateway.clone();
        let record = DecisionRecord {
            number: self.last,
            ..record
        };
        let of_gateway = self.by_gateway.entry(gateway).or_default();
        of_gateway.push_back(Report { came: now, record });
        self.all += 1;
        if self.all > MOST {
            // A gateway with many reports takes no room from the others.
            let longest = self.by_gateway.values_mut().max_by_key(|kept| kept.len());
            longest.map(VecDeque::pop_front);
            self.all -= 1;
        }
    }

    /// Forgets what is too old.
    fn forget(&mut self, now: Millis) {
        for kept in self.by_gateway.values_mut() {
            while kept
                .front()
                .is_some_and(|oldest| now.since(oldest.came) > LONGEST)
            {
                kept.pop_front();
                self.all -= 1;
            }
        }
        self.by_gateway.retain(|_, kept| !kept.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(gateway: &str, request_id: &str) -> DecisionRecord {
        DecisionRecord {
            number: 0,
            at: Millis(0),
            gateway: gateway.parse().unwrap(),
            request_id: request_id.to_owned(),
            zone: Some("eea".to_owned()),
            by: None,
            model: None,
            lane: None,
            outcome: Outcome::Answered,
            status: 200,
            refused: None,
            broken: None,
            region: Some("eu-west-1".to_owned()),
            attempts: Vec::new(),
            tokens: None,
            first_byte_ms: None,
            duration_ms: None,
            bytes_in: 0,
            bytes_out: 0,
            decision: String::new(),
            sampled: false,
        }
    }

    fn wanted(json: serde_json::Value) -> Wanted {
        serde_json::from_value(json).unwrap()
    }

    fn ids(kept: &Kept, json: serde_json::Value) -> Vec<String> {
        let found = kept.find(&wanted(json)).decisions;
        found.iter().map(|each| each.request_id.clone()).collect()
    }

    #[test]
    fn the_newest_that_fit_are_found_oldest_first() {
        let kept = Kept::default();
        for number in 0..6 {
            let gateway = if number % 2 == 0 { "us" } else { "eu" };
            kept.add(vec![record(gateway, &number.to_string())], Millis(0));
        }
        assert_eq!(
            ids(&kept, serde_json::json!({ "last": 3 })),
            ["3", "4", "5"]
        );
        assert_eq!(
            ids(&kept, serde_json::json!({ "gateway": "us", "last": 2 })),
            ["2", "4"]
        );
        assert_eq!(ids(&kept, serde_json::json!({ "after": 4 })), ["4", "5"]);
        assert_eq!(ids(&kept, serde_json::json!({ "request_id": "2" })), ["2"]);
        for other in [
            serde_json::json!({ "zone": "global" }),
            serde_json::json!({ "model": "m" }),
            serde_json::json!({ "lane": "home" }),
            serde_json::json!({ "region": "us-west-2" }),
            serde_json::json!({ "outcome": "left" }),
        ] {
            assert_eq!(ids(&kept, other.clone()), [""; 0], "{other}");
        }
        let all = kept.find(&wanted(serde_json::json!({ "last": 1 })));
        assert_eq!(all.newest, 6);
    }

    #[test]
    fn a_gateway_with_many_reports_takes_no_room_from_the_others() {
        let kept = Kept::default();
        kept.add(vec![record("eu", "first")], Millis(0));
        let flood = |_| record("us", "flood");
        kept.add((0..MOST + 100).map(flood).collect(), Millis(0));
        assert_eq!(
            ids(&kept, serde_json::json!({ "gateway": "eu" })),
            ["first"]
        );
        assert_eq!(kept.0.lock().unwrap().all, MOST);
        let later = Millis(901_000);
        kept.add(vec![record("us", "new")], later);
        assert_eq!(ids(&kept, serde_json::json!({})), ["new"]);
        assert_eq!(kept.0.lock().unwrap().all, 1);
    }
}
