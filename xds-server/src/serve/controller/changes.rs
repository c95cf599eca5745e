//! What a plan moves, in the log.

use crate::serve::store::{PlanEntry, Why};
use meridian_planner::plan::{Move, Moved, Plan, moved};
use meridian_planner::signal::Millis;

/// Logs what a plan moves. Returns its entry in the history; `None` if it moves nothing.
pub fn logged_entry(moves: Vec<Move>, now: Millis) -> Option<PlanEntry> {
    if moves.is_empty() {
        return None;
    }
    log(&moves);
    Some(PlanEntry::new(now, Why::of(&moves), moves))
}

/// Logs what a plan of another replica moves. Its causes are in the history.
pub fn log_changes(before: &Plan, next: &Plan) {
    let moves: Vec<Move> = moved(before, next).into_iter().map(Move::from).collect();
    log(&moves);
}

/// Logs each move.
pub fn log(moves: &[Move]) {
    for Move { moved, causes } in moves {
        let causes: Vec<String> = causes.iter().map(ToString::to_string).collect();
        let causes = causes.join("; ");
        match moved {
            Moved::Placement { .. } => tracing::info!(%moved, causes, "placement"),
            Moved::Health { .. } => tracing::info!(%moved, causes, "health"),
            Moved::BatchGate { .. } => tracing::info!(%moved, causes, "batch"),
            Moved::Freshness { .. } => tracing::info!(%moved, causes, "freshness"),
            Moved::Retrieval { .. } => tracing::info!(%moved, causes, "retrieval"),
        }
    }
}
