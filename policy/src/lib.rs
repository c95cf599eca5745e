//! The contract between Meridian's parts: the types of a fleet, and of the configurations of a gateway's plugins.
//!
//! The crate holds types, tables and lookups. It has the fleet and its parts, names, chains, the table of inference APIs, the
//! header names, and the plugin configurations as JSON. The control plane's algorithms are in `meridian-planner`. The gateway's
//! algorithms are in `meridian-filter-core`.

pub mod api;
pub mod chain;
pub mod country;
pub mod definition;
pub mod egress_policy;
pub mod fallback;
pub mod filter_policy;
pub mod fleet;
pub mod guard_policy;
pub mod headers;
pub mod limits;
pub mod listener;
pub mod location;
pub mod name;
pub mod pool_policy;
pub mod region;
pub mod retrieval;
pub mod retrieval_policy;
pub mod retry;
pub mod source;
pub mod zone;

pub use filter_policy::FilterPolicy;
pub use fleet::Fleet;
/// The name of the route, and of its cluster without endpoints, for requests that match no other route.
pub const NO_ROUTE: &str = "nothing";

pub use name::{FallbackId, FallbackName, ModelName, RegionName, ZoneId, ZoneName};
