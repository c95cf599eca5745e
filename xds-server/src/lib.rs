//! Meridian's control plane. It reads the fleet file and the fleet's signals, plans, and configures every gateway by
//! xDS. It verifies that no configuration lets a pinned request leave its zone.
//!
//! ```text
//! fleet.yaml --fleet::load--> Fleet --translate--> Snapshot --verify--> bootstrap::fixed --> envoy.yaml
//! signals --collect--> plan --> Plan ----------^        \--discovery--> Resources --xds--> Envoys
//! ```
//!
//! `translate` and `verify` share `snapshot` only. Each states the residency rule in its own code.

pub mod bootstrap;
pub mod clock;
pub mod collect;
pub mod decisions;
pub mod diff;
pub mod discovery;
pub mod etcd;
pub mod explain;
pub mod fleet;
pub mod history;
pub mod name;
pub mod replay;
pub mod serve;
pub mod snapshot;
pub mod status;
mod table;
mod tls;
pub mod translate;
pub mod verify;
mod wire;
pub mod xds;
