//! Meridian's simulator: ways to route, side by side, on replayed traces.
//!
//! A discrete-event simulation with the product's own planner and decision in the loop (`meridian-policy`, the code that
//! runs in the control plane and in the filter). It has no clock and no randomness of its own: a case and a seed give the
//! same outcome on every machine.

pub mod case;
pub mod cases;
pub mod demand;
pub mod gate;
pub mod objective;
pub mod outcome;
pub mod page;
pub mod profile;
pub mod replica;
pub mod report;
pub mod router;
pub mod spread;
pub mod strategy;
pub mod study;
pub mod topology;
pub mod trace;
pub mod turns;
pub mod world;

#[cfg(test)]
mod tests;
