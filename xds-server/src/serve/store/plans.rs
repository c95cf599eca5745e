//! The history of plans: what each has moved, and why.

use meridian_planner::plan::{Cause, Move};
use meridian_planner::signal::Millis;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most records that are kept.
pub const KEPT: u64 = 1000;

/// The most moves in a record. An edit of a large fleet may move thousands of placements.
const MOST_MOVES: usize = 200;

/// The most bytes of a record's moves, as JSON. etcd takes 1.5 MiB in one transaction, with the plan.
const MOST_BYTES: usize = 64 << 10;

/// Why a plan was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The control plane started.
    Start,
    /// The fleet file was edited.
    Edit,
    /// An operator said something, or what was said has ended.
    Intent,
    /// Signals moved.
    Signals,
    /// The planner went on from what it had: no signal, intent or edit tells.
    Planner,
}

/// What a plan has moved, before it has a number.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanEntry {
    /// When the plan was made.
    pub at: Millis,
    /// Why it was made.
    pub why: Why,
    /// What it moved, the most significant first.
    pub moves: Vec<Move>,
    /// How many more it moved.
    pub more: u64,
}

/// What a plan has moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanRecord {
    /// Its number: 1 for the first plan, and no number is left out.
    pub number: u64,
    /// When the plan was made, in milliseconds since the Unix epoch.
    pub at: Millis,
    /// Why it was made.
    pub why: Why,
    /// What it moved, the most significant first.
    pub moves: Vec<Move>,
    /// How many more it moved: a record has 200 moves at most, and 64 KiB.
    pub more: u64,
}

impl PlanEntry {
    /// The entry of a plan. Of too many moves it has the first ones.
    pub fn new(at: Millis, why: Why, mut moves: Vec<Move>) -> Self {
        let all = moves.len();
        let mut bytes = 0;
        let fits = moves.iter().take(MOST_MOVES).take_while(|each| {
            // A value of names and numbers can be written.
            bytes += serde_json::to_vec(each).map_or(MOST_BYTES, |json| json.len());
            bytes <= MOST_BYTES
        });
        let kept = fits.count();
        moves.truncate(kept);
        Self {
            at,
            why,
            moves,
            more: (all - kept) as u64,
        }
    }

    /// The record with this number.
    pub fn numbered(self, number: u64) -> PlanRecord {
        PlanRecord {
            number,
            at: self.at,
            why: self.why,
            moves: self.moves,
            more: self.more,
        }
    }
}

impl Why {
    /// Why a plan moved something, by its causes.
    pub fn of(moves: &[Move]) -> Self {
        let mut causes = moves.iter().flat_map(|each| &each.causes);
        let is_intent =
            |cause: &Cause| matches!(cause, Cause::Intent { .. } | Cause::IntentEnded { .. });
        match causes.clone().next() {
            None => Self::Planner,
            Some(_) if causes.any(is_intent) => Self::Intent,
            Some(_) => Self::Signals,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_planner::plan::Moved;

    fn moves(count: usize, region: &str) -> Vec<Move> {
        let moved = Moved::Freshness {
            region: region.parse().unwrap(),
            behind: true,
        };
        vec![moved.into(); count]
    }

    #[test]
    fn a_record_has_a_bounded_number_of_moves_and_bytes() {
        let entry = |moves| PlanEntry::new(Millis(1), Why::Edit, moves);
        let few = entry(moves(3, "us"));
        assert_eq!((few.moves.len(), few.more), (3, 0));
        let many = entry(moves(5000, "us"));
        assert_eq!((many.moves.len(), many.more), (200, 4800));
        // Each is larger than a 200th of what there may be.
        let mut large = moves(200, "us");
        for each in &mut large {
            let causes = (0..30).map(|number| Cause::Intent { number });
            each.causes = causes.collect();
        }
        let large = entry(large);
        let json = serde_json::to_vec(&large.moves).unwrap();
        assert!(json.len() < MOST_BYTES + 1000 && large.moves.len() > 20);
        assert_eq!(large.moves.len() as u64 + large.more, 200);
    }
}
