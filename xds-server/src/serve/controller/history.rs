//! What the controller's plans move, and what moved it.

use super::Controller;
use crate::serve::store::{PlanEntry, Why};
use meridian_planner::intent::Intents;
use meridian_planner::plan::{Cause, Move, Plan, Transition, moved};
use meridian_planner::signal::Millis;
use meridian_planner::topology::Topology;

impl Controller {
    /// What the next plan moves. A plan that is carried over was made of nothing that was observed, so only an edit tells.
    pub(super) fn moves(
        &self,
        topology: &Topology,
        next: &Plan,
        edited: bool,
        now: Millis,
    ) -> Vec<Move> {
        if !self.all_sources_answered(now) {
            let moves = moved(&self.plan, next).into_iter().map(|moved| Move {
                causes: edited.then_some(Cause::Edit {}).into_iter().collect(),
                ..moved.into()
            });
            return moves.collect();
        }
        let transition = Transition {
            topology,
            state: &self.state,
            intents: &self.intents,
            intents_before: &self.intents_before,
            before: &self.plan,
            next,
            edited,
            now,
        };
        transition.moves()
    }

    /// Begins the history of this run: what differs from the plan that the run before has left.
    pub(super) fn begin_history(&mut self, left: &Plan, now: Millis) {
        let moves: Vec<Move> = moved(left, &self.plan)
            .into_iter()
            .map(Move::from)
            .collect();
        self.begun = PlanEntry::new(now, Why::Start, moves);
    }

    /// Takes note of the intents by which a plan was made. One that is carried over was made by those before.
    pub(super) fn note_intents(&mut self, now: Millis) {
        if !self.all_sources_answered(now) {
            return;
        }
        let active = self.intents.active(now);
        let active = active.map(|(number, intent)| (number, intent.clone()));
        self.intents_before = Intents(active.collect());
    }
}
