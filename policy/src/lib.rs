//! The contract of Meridian's parts: what a fleet is, and what a gateway's plugins are told of it.
//!
//! Types only: the fleet and its parts, names, chains, the table of inference APIs, the header names, the plugin configurations as
//! the JSON that travels in Envoy's configuration. What is computed from them lives in `meridian-planner` (the control plane's
//! side) and `meridian-filter-core` (the gateway's side).

pub mod api;
pub mod chain;
pub mod country;
pub mod egress_policy;
pub mod fallback;
pub mod filter_policy;
pub mod fleet;
pub mod guard_policy;
pub mod headers;
pub mod limits;
pub mod listener;
pub mod name;
pub mod pool_policy;
pub mod region;
pub mod retrieval;
pub mod source;
pub mod zone;

pub use filter_policy::FilterPolicy;
pub use fleet::Fleet;
pub use name::{FallbackName, ModelName, RegionName, ZoneName};
