//! Splits a snapshot into xDS resources: each part that changes by itself becomes a resource of its own, and a
//! reference to it stays.
//!
//! ```text
//! Snapshot --split--> Parts --versions::resources--> Resources of the xDS server
//!          <--join---
//! ```
//!
//! | cut out | moves |
//! | --- | --- |
//! | routes of every listener (RDS) | weights of the lanes that lead elsewhere |
//! | endpoints of pools, peers and databases with addresses (EDS) | endpoints in the fleet file, regions that are down |
//! | the database that serves what is retrieved (EDS) | replicas that are behind |
//! | the router's policy (ECDS) | shares, whose data is fresh, the lease |
//! | what peers may bring (ECDS) | zones in the fleet file |
//! | what picks servers for peers (ECDS) | how pools balance, in the fleet file |
//! | the guard of all chains (ECDS) | the filter's file, contexts in the fleet file |
//! | secrets (SDS) | places of keys and certificates in the fleet file |
//!
//! `join` is the inverse. What is verified before publication is the joined parts, as a gateway assembles them.

mod join;
mod open;
mod split;
mod versions;

pub(crate) use open::ads;

pub use join::{Unresolved, join};
pub use split::{moving, split};
pub use versions::with;

#[cfg(test)]
mod tests;
