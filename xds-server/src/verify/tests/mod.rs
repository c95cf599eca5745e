//! The configurations of `translate` verify; edits that leak do not.

mod connections;
pub(crate) mod edit;
pub(crate) mod fleets;
mod good;
mod leaking;
mod mixed;
mod mutation;
mod simulation;
