//! Meridian's planner: what was observed becomes the health of pools, the plan, and the configurations of the gateways' plugins.
//!
//! No IO, no clock, no randomness, no async, no logging: everything comes in as arguments.
//!
//! ```text
//! Observation --FleetState::apply()--> FleetState --plan()--> Plan      shares, weights, gates, health
//! Fleet --chain()--> [Member]                                           what translation turns into clusters
//! (Fleet, Plan) --plugins::filter_policy()--> FilterPolicy              what the router of a gateway is told
//! ```

pub mod alarm;
pub mod batch;
pub mod chain;
pub mod flow;
pub mod freshness;
pub mod gate;
pub mod health;
pub mod location;
pub mod placement;
pub mod plan;
pub mod plugins;
pub mod retrieval;
pub mod signal;
pub mod state;
pub mod weights;
pub mod window;

#[cfg(test)]
mod tests;
