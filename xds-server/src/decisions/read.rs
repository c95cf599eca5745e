//! Reads a report from the attributes of a log record.

use super::record::{AttemptReport, DecisionRecord, Outcome, Tokens};
use meridian_planner::signal::Millis;
use meridian_policy::RegionName;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use std::collections::HashMap;

/// Longest text that is kept of an attribute, in characters: eight attempts have fewer.
const LONGEST: usize = 1000;

/// The attributes of a log record that have a value.
pub struct Attributes<'r>(HashMap<&'r str, &'r str>);

impl<'r> Attributes<'r> {
    /// Those of a record.
    pub fn of(record: &'r LogRecord) -> Self {
        let attributes = record.attributes.iter();
        let texts = attributes.filter_map(|attribute| {
            let value = attribute.value.as_ref()?.value.as_ref()?;
            match value {
                Value::StringValue(text) if !text.is_empty() && text != "-" => {
                    Some((attribute.key.as_str(), text.as_str()))
                }
                _ => None,
            }
        });
        Self(texts.collect())
    }

    /// An attribute as it is.
    pub fn get(&self, key: &str) -> Option<&'r str> {
        self.0.get(key).copied()
    }

    /// An attribute that can be shown: a gateway is believed in what it reports, but not to be free of faults.
    fn text(&self, key: &str) -> Option<String> {
        let text = self.get(key)?.chars().take(LONGEST);
        let shown = text.map(|c| if c.is_control() { '\u{fffd}' } else { c });
        Some(shown.collect())
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }

    /// The report. It gets its number when it is kept. `at`: when the request came.
    pub fn record(&self, gateway: RegionName, at: Millis) -> DecisionRecord {
        let decision = self.text("decision").unwrap_or_default();
        let said = |key: &str| value(&decision, key).map(str::to_owned);
        let status = self.number("status");
        let status = status.and_then(|status| u16::try_from(status).ok());
        let (refused, broken) = (said("refused"), self.text("broken"));
        let region = self.text("region");
        let flags = self.get("flags").unwrap_or_default();
        let has_left = flags.split(',').any(|flag| flag == "DC");
        let outcome = match status.unwrap_or_default() {
            _ if refused.is_some() => Outcome::Refused,
            _ if broken.is_some() => Outcome::Broken,
            _ if has_left => Outcome::Left,
            0 => Outcome::Left,
            400.. => Outcome::Failed,
            _ => Outcome::Answered,
        };
        DecisionRecord {
            number: 0,
            at,
            gateway,
            request_id: self.text("request_id").unwrap_or_default(),
            zone: said("zone").or_else(|| self.text("zone")),
            by: said("by"),
            model: said("model").or_else(|| self.text("model")),
            lane: said("lane"),
            attempts: self.attempts(region.as_deref(), outcome),
            outcome,
            status: status.unwrap_or_default(),
            refused,
            broken,
            region,
            tokens: self.get("tokens").map(tokens),
            first_byte_ms: self.number("first_byte_ms"),
            duration_ms: self.number("duration_ms"),
            bytes_in: self.number("bytes_in").unwrap_or_default(),
            bytes_out: self.number("bytes_out").unwrap_or_default(),
            sampled: self.get("report").is_some(),
            decision,
        }
    }

    /// The attempts. A request whose only attempt was answered has no log of them.
    fn attempts(&self, region: Option<&str>, outcome: Outcome) -> Vec<AttemptReport> {
        if let Some(log) = self.text("attempt_log") {
            return log.split("; ").filter_map(attempt).collect();
        }
        let only = region.filter(|_| outcome != Outcome::Refused);
        let only = only.map(|region| AttemptReport {
            to: region.to_owned(),
            address: self.text("upstream").unwrap_or_else(|| "-".to_owned()),
            end: outcome.to_string(),
            ms: None,
        });
        only.into_iter().collect()
    }
}

/// The value of a key in a list of `key=value`.
pub fn value<'t>(list: &'t str, key: &str) -> Option<&'t str> {
    let pairs = list.split(' ').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(name, _)| *name == key);
    values.next().map(|(_, value)| value)
}

fn tokens(list: &str) -> Tokens {
    let number = |key| value(list, key).and_then(|value| value.parse().ok());
    Tokens {
        prompt: number("prompt").unwrap_or_default(),
        completion: number("completion").unwrap_or_default(),
        cached: number("cached").unwrap_or_default(),
    }
}

/// An attempt, as the filter logs it: `us-west-2 10.1.0.5:8000 503 5`.
fn attempt(text: &str) -> Option<AttemptReport> {
    let mut words = text.split(' ').map(str::to_owned);
    Some(AttemptReport {
        to: words.next()?,
        address: words.next()?,
        end: words.next()?,
        ms: words.next()?.parse().ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

    fn read(attributes: &[(&str, &str)]) -> DecisionRecord {
        let attributes = attributes.iter().map(|(key, value)| KeyValue {
            key: (*key).to_owned(),
            value: Some(AnyValue {
                value: Some(Value::StringValue((*value).to_owned())),
            }),
            ..Default::default()
        });
        let record = LogRecord {
            attributes: attributes.collect(),
            ..Default::default()
        };
        Attributes::of(&record).record("us-west-2".parse().unwrap(), Millis(7))
    }

    const HOME: &str = "lane=home zone=global by=cf-ipcountry model=m";

    #[test]
    fn an_answer_at_the_first_attempt_has_one() {
        let record = read(&[
            ("decision", HOME),
            ("region", "us-west-2"),
            ("upstream", "10.1.0.5:8000"),
            ("attempt_log", "-"),
            ("tokens", "prompt=12 completion=30 cached=4"),
            ("status", "200"),
            ("flags", "-"),
            ("first_byte_ms", "35"),
            ("duration_ms", "380"),
            ("report", "sampled"),
        ]);
        let only = AttemptReport {
            to: "us-west-2".to_owned(),
            address: "10.1.0.5:8000".to_owned(),
            end: "answered".to_owned(),
            ms: None,
        };
        assert_eq!(record.attempts, [only]);
        assert_eq!(record.outcome, Outcome::Answered);
        assert_eq!(record.tokens.map(|tokens| tokens.completion), Some(30));
        assert_eq!(
            (record.zone.as_deref(), record.by.as_deref()),
            (Some("global"), Some("cf-ipcountry"))
        );
        assert!(record.sampled);
    }

    #[test]
    fn each_attempt_has_its_end() {
        let log = "us-west-2 10.1.0.5:8000 first_token 4012; us-east-1 - connect 5; fallback/claude 10.3.0.1:443 answered 380";
        let record = read(&[
            ("decision", HOME),
            ("region", "fallback/claude"),
            ("attempt_log", log),
            ("status", "200"),
        ]);
        let ends = record.attempts.iter().map(|each| each.end.as_str());
        assert_eq!(
            ends.collect::<Vec<_>>(),
            ["first_token", "connect", "answered"]
        );
        assert_eq!(record.attempts[0].ms, Some(4012));
        assert!(!record.sampled);
    }

    #[test]
    fn the_outcome_is_that_of_the_caller() {
        let refused = "refused=misdirected zone=eea";
        for (attributes, expected) in [
            (
                vec![("decision", refused), ("status", "421")],
                Outcome::Refused,
            ),
            (vec![("decision", HOME), ("status", "503")], Outcome::Failed),
            (
                vec![("decision", HOME), ("status", "0"), ("flags", "DC")],
                Outcome::Left,
            ),
            (
                vec![("decision", HOME), ("status", "200"), ("broken", "stall")],
                Outcome::Broken,
            ),
            (
                vec![("decision", HOME), ("status", "200"), ("flags", "UH,DC")],
                Outcome::Left,
            ),
        ] {
            assert_eq!(read(&attributes).outcome, expected, "{attributes:?}");
        }
        let record = read(&[("decision", refused), ("status", "421")]);
        assert_eq!(record.refused.as_deref(), Some("misdirected"));
        assert_eq!(record.zone.as_deref(), Some("eea"));
        assert_eq!((record.lane, record.attempts.len()), (None, 0));
    }

    #[test]
    fn nothing_that_is_reported_harms_a_terminal_or_is_kept_whole() {
        let long = "x".repeat(5000);
        let record = read(&[
            ("request_id", "\u{1b}[2J\n"),
            ("decision", &long),
            ("status", "99999"),
            ("tokens", "prompt=many"),
        ]);
        assert_eq!(record.request_id, "\u{fffd}[2J\u{fffd}");
        assert_eq!(record.decision.len(), LONGEST);
        assert_eq!((record.status, record.outcome), (0, Outcome::Left));
    }
}
