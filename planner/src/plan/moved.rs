//! What moved between two plans, and what moved it.
//!
//! A cause is a fact by which the planner decided: a signal past its limit, the health of a pool, an intent, an edit. Where none of them
//! tells, nothing is said.

mod causes;
mod differences;
mod evidence;
mod placement;
mod text;
mod transition;
mod value;

pub use differences::moved;
pub use transition::Transition;
pub use value::{Cause, Condition, Crossing, Move, Moved, Pool, Share, Signal};

use causes::causes;
use evidence::Evidence;

impl Transition<'_> {
    /// Everything that moved, with its causes.
    pub fn moves(&self) -> Vec<Move> {
        let moved = moved(self.before, self.next);
        if moved.is_empty() {
            return Vec::new();
        }
        let evidence = Evidence::of(self);
        let moves = moved.into_iter().map(|moved| Move {
            causes: causes(&evidence, &moved),
            moved,
        });
        moves.collect()
    }
}
