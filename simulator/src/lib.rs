//! Meridian's simulator: compares routing strategies on replayed traces.
//!
//! A discrete-event simulation that calls the product's own planner (`meridian-planner`) and request path
//! (`meridian-filter-core`). It reads no clock and no system randomness: a case and a seed give the same result on every machine.

pub mod case;
pub mod cases;
pub mod demand;
pub mod engine;
pub mod gate;
pub mod metrics;
pub mod objective;
pub mod profile;
pub mod replica;
pub mod report;
pub mod results;
pub mod reversals;
pub mod router;
pub mod spread;
pub mod strategy;
pub mod study;
pub mod topology;
pub mod trace;

#[cfg(test)]
mod tests;
