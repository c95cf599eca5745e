//! Moves and causes, for people.

use super::value::{Cause, Condition, Crossing, Move, Moved, Pool, Share, Signal};
use std::fmt;

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.moved)?;
        for (index, cause) in self.causes.iter().enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            write!(f, "{separator}{cause}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Placement {
                gateway,
                zone,
                model,
                before,
                after,
            } => {
                let (before, after) = (or_none(before.as_ref()), or_none(after.as_ref()));
                write!(f, "{zone}, {model} at {gateway}: {before} -> {after}")
            }
            Self::Health {
                region,
                model,
                before,
                after,
            } => {
                let (before, after) = (or_none(before.as_ref()), or_none(after.as_ref()));
                write!(f, "{model} in {region}: {before} -> {after}")
            }
            Self::BatchGate {
                region,
                model,
                before,
                after,
            } => write!(
                f,
                "{model} in {region}: takes {before} % -> {after} % of batch"
            ),
            Self::Freshness { region, behind } => {
                let now = if *behind {
                    "behind"
                } else {
                    "no longer behind"
                };
                write!(f, "data in {region}: {now}")
            }
            Self::Retrieval {
                region,
                before,
                after,
            } => write!(f, "retrieval at {region}: {before} -> {after}"),
        }
    }
}

fn or_none(value: Option<&impl fmt::Display>) -> String {
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.home_share)?;
        if self.overflow.is_empty() {
            return Ok(());
        }
        let overflow = self.overflow.iter();
        let overflow = overflow.map(|(region, weight)| format!("{region} {weight}"));
        let overflow: Vec<String> = overflow.collect();
        write!(f, " ({})", overflow.join(", "))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<String> = self.reasons.iter().map(ToString::to_string).collect();
        match (self.down, reasons.is_empty()) {
            (false, true) => f.write_str("ok"),
            (false, false) => f.write_str(&reasons.join(", ")),
            (true, true) => f.write_str("down"),
            (true, false) => write!(f, "down ({})", reasons.join(", ")),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Above(crossing) => write_crossing(f, crossing, "above"),
            Self::Below(crossing) => write_crossing(f, crossing, "below"),
            Self::Silent(pool) => write!(f, "{pool} is silent"),
            Self::Reporting(pool) => write!(f, "{pool} reports again"),
            Self::PoolLeft(pool) => write!(f, "{pool} serves no longer"),
            Self::PoolReturned(pool) => write!(f, "{pool} serves again"),
            Self::Intent { number } => write!(f, "intent {number}"),
            Self::IntentEnded { number } => write!(f, "the end of intent {number}"),
            Self::Edit {} => f.write_str("an edit of the fleet file"),
        }
    }
}

fn write_crossing(f: &mut fmt::Formatter<'_>, crossing: &Crossing, side: &str) -> fmt::Result {
    let Crossing {
        signal,
        region,
        value,
        limit,
        model: _,
    } = crossing;
    let (name, value, limit) = match signal {
        Signal::Utilization => ("utilization", percent(*value), percent(*limit)),
        Signal::Queue => ("queue", value.to_string(), limit.to_string()),
        Signal::FirstToken => ("first token", seconds(*value), seconds(*limit)),
        Signal::Errors => ("errors", percent(*value), percent(*limit)),
        Signal::ReplicationLag => ("replication lag", seconds(*value), seconds(*limit)),
        Signal::Endpoints => ("healthy endpoints", value.to_string(), limit.to_string()),
    };
    write!(f, "{name} of {region} {value}, {side} {limit}")
}

fn percent(ratio: f64) -> String {
    // One decimal, and none where it is 0.
    format!("{} %", (ratio * 1000.0).round() / 10.0)
}

fn seconds(value: f64) -> String {
    format!("{} s", (value * 10.0).round() / 10.0)
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.model, self.region)
    }
}
