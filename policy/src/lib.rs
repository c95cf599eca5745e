//! Meridian's pure core: which residency zone a caller belongs to, which regions and fallbacks may serve it and in
//! which order, and what the filter answers or does with one request.
//!
//! No IO, no clock, no randomness, no async, no logging: everything comes in as arguments. The crate is compiled
//! natively into the control plane and to WebAssembly into the filter, so that a rule exists once.
//!
//! The way through it:
//!
//! ```text
//! Observation --FleetState::apply()--> FleetState --plan()--> Plan        shares, weights, health
//! Fleet --chain()--> [Member]                       what translate turns into clusters
//! (Fleet, Plan) --FilterPolicy::for_region()--> JSON --> FilterPolicy::admit(head) -> Admission
//!                                                        FilterPolicy::decide(admitted, body) -> Decision | Refusal
//! ```

pub mod answer;
pub mod api;
pub mod body;
pub mod budget;
pub mod chain;
pub mod classify;
pub mod claude;
pub mod clock;
pub mod context;
pub mod cooling;
pub mod country;
pub mod decide;
pub mod egress;
pub mod filter_policy;
pub mod fleet;
pub mod flow;
pub mod freshness;
pub mod guard;
pub mod headers;
pub mod health;
pub mod location;
pub mod name;
pub mod needs;
pub mod pace;
pub mod patience;
pub mod placement;
pub mod plan;
pub mod refusal;
pub mod retrieval;
pub mod signal;
pub mod slots;
pub mod source;
pub mod state;
pub mod tier;
pub mod weights;
pub mod window;

pub use filter_policy::FilterPolicy;
pub use fleet::Fleet;
pub use name::{FallbackName, ModelName, RegionName, ZoneName};

#[cfg(test)]
mod tests;
