//! The configurations of `translate` verify; edits that leak do not.

mod connections;
mod edit;
mod fleets;
mod good;
mod leaking;
mod mutation;
mod simulation;
