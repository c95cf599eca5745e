//! Recorded decisions under another fleet file: which requests would have gone elsewhere.
//!
//! A line of a gateway's access log says the caller's zone, not its country, and nothing of the load at other regions. So a request that
//! some region took for lack of room at home counts as moved only if that region may no longer serve it. Whose zone an edit changes,
//! [`diff`](crate::diff) says.

mod line;
mod report;
mod text;

pub use report::{Group, Moved, Replay};
pub use text::text;

use line::Line;
use meridian_planner::chain::passes_through;
use meridian_planner::topology::Topology;
use meridian_policy::chain::Member;
use meridian_policy::filter_policy::Lane;
use std::collections::BTreeMap;

/// Why a line cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {number}: {error}")]
pub struct BadLine {
    /// Its number, from 1.
    pub number: usize,
    /// The error.
    pub error: serde_json::Error,
}

/// Decides recorded requests anew.
///
/// # Errors
/// A line is no JSON object.
pub fn replay(
    fleet: &Topology,
    lines: impl IntoIterator<Item = impl AsRef<str>>,
) -> Result<Replay, BadLine> {
    let mut replay = Replay::default();
    let mut moved: BTreeMap<Group, (usize, String)> = BTreeMap::new();
    for (number, text) in lines.into_iter().enumerate() {
        let text = text.as_ref().trim();
        if text.is_empty() {
            continue;
        }
        let line = Line::read(text).map_err(|error| BadLine {
            number: number + 1,
            error,
        })?;
        let Some(line) = line else {
            replay.others += 1;
            continue;
        };
        replay.requests += 1;
        let after = after(fleet, &line);
        if after == line.before {
            continue;
        }
        let group = Group {
            gateway: line.gateway,
            zone: line.zone,
            model: line.model,
            before: line.before,
            after,
        };
        moved.entry(group).or_insert((0, line.request_id)).0 += 1;
    }
    let moved = moved.into_iter();
    replay.moved = moved
        .map(|(of, (requests, example))| Moved {
            of,
            requests,
            example,
        })
        .collect();
    replay
        .moved
        .sort_by_key(|moved| std::cmp::Reverse(moved.requests));
    Ok(replay)
}

/// Where a request would go, or why it would be refused.
fn after(fleet: &Topology, line: &Line) -> String {
    let Some((home, _)) = fleet.regions.get_key_value(line.gateway.as_str()) else {
        return "there is no such gateway".to_owned();
    };
    let Some((name, zone)) = fleet.zones.get_key_value(line.zone.as_str()) else {
        return "there is no such zone".to_owned();
    };
    if !passes_through(zone, home) {
        return "refused=misdirected".to_owned();
    }
    if line.bytes > u64::from(fleet.limits.body) {
        return "413".to_owned();
    }
    let model = fleet
        .models()
        .iter()
        .find(|model| model.as_str() == line.model);
    let reach = model.and_then(|model| fleet.reach(name, model, home));
    let Some(reach) = reach else {
        return "refused=model_not_found".to_owned();
    };
    let chain = reach.chain();
    let first = chain.first().map(Member::label).unwrap_or_default();
    let regions = reach.all_regions().map(ToString::to_string);
    let fallbacks = chain.iter().filter(|member| member.region().is_none());
    let mut members = regions.chain(fallbacks.map(Member::label));
    let may_serve = members.any(|member| member == line.before);
    let was_first = line.lane == Some(Lane::Home) && line.attempts <= 1;
    if may_serve && !was_first {
        return line.before.clone();
    }
    first
}

#[cfg(test)]
mod tests;
