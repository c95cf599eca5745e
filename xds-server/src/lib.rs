//! Meridian's control plane: reads the fleet file, watches the fleet's signals, plans, and gives every gateway its Envoy
//! configuration; and it verifies that no such configuration lets a pinned request out of its zone.
//!
//! ```text
//! fleet.yaml --fleet::load--> Fleet --translate--> Snapshot --verify--> bootstrap::fixed --> envoy.yaml
//! signals --collect--> policy::plan --> Plan --^        \--discovery--> Resources --xds--> Envoys
//! ```

pub mod bootstrap;
mod clock;
pub mod collect;
pub mod discovery;
pub mod fleet;
pub mod name;
pub mod serve;
pub mod snapshot;
pub mod status;
mod tls;
pub mod translate;
pub mod verify;
mod wire;
pub mod xds;
