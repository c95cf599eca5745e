//! Meridian's control plane: reads the fleet file, translates the fleet into each gateway's Envoy configuration, and
//! verifies that no such configuration lets a pinned request out of its zone.
//!
//! ```text
//! fleet.yaml --fleet::load--> Fleet --translate--> Snapshot --verify--> export::bootstrap --> envoy.yaml
//! ```

pub mod collect;
pub mod export;
pub mod fleet;
pub mod translate;
pub mod verify;
