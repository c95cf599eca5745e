//! Meridian's planner: it derives pool health, the plan and the gateways' plugin policies from observations.
//!
//! The crate does no IO, reads no clock, uses no randomness, runs no async code and writes no logs. All inputs are arguments.
//!
//! ```text
//! Observation --FleetState::apply()--> FleetState --plan()--> Plan      shares, weights, gates, health
//! Fleet --Topology::new()--> Topology                                   chains: who may serve whom, in which order
//! (Fleet, Plan) --plugins::filter_policy()--> FilterPolicy              policy of a gateway's router
//! ```

pub mod alarm;
pub mod batch;
pub mod chain;
pub mod definition;
pub mod flow;
pub mod freshness;
pub mod gate;
pub mod health;
pub mod intent;
pub mod placement;
pub mod plan;
pub mod plugins;
pub mod retrieval;
pub mod schema;
pub mod signal;
pub mod state;
pub mod topology;
pub mod weights;
pub mod window;

#[cfg(test)]
mod tests;
