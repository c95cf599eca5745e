//! The step from one plan to the next one.

use super::super::value::Plan;
use crate::intent::Intents;
use crate::signal::Millis;
use crate::state::FleetState;
use crate::topology::Topology;

/// The step from one plan to the next one, with all that the next one was made of.
#[derive(Clone, Copy, Debug)]
pub struct Transition<'t> {
    /// The fleet of the next plan.
    pub topology: &'t Topology,
    /// What was observed.
    pub state: &'t FleetState,
    /// What operators say.
    pub intents: &'t Intents,
    /// The intents that were in force at the plan before.
    pub intents_before: &'t Intents,
    /// The plan before.
    pub before: &'t Plan,
    /// The next plan.
    pub next: &'t Plan,
    /// Whether the fleet was edited since the plan before.
    pub edited: bool,
    /// When the next plan was made.
    pub now: Millis,
}
