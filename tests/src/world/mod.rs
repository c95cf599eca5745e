//! A fleet on loopback: three regions, each a real Envoy with the real filter and a fake pool, and two fake providers.
//!
//! Each world has addresses of its own (`127.x.y.<region>`), so that worlds run side by side on fixed ports.

mod address;
pub mod certificates;
mod control_plane;
mod directory;
mod envoy;
mod etcd;
mod fleet;
mod fleet_file;
mod heal;
mod layout;
mod prometheus;
mod relay;
mod replicas;
mod request;
mod retrieval;
mod shared_object;
mod signal;
mod start;
mod stepped_clock;
mod wait;
mod wall_clock;

pub use address::Block;
pub use control_plane::{ControlPlane, binary as meridian};
pub use envoy::{Envoy, EnvoyClock};
pub use etcd::Etcd;
pub use fleet::World;
pub use fleet_file::{
    CLAUDE, Configured, MODEL, Options, PARTIAL_MODEL, PRIMARY, PROFILE, api_key, write_sds,
};
pub use layout::{DRAIN_S, PROVIDERS, REGIONS, workspace};
pub use prometheus::Prometheus;
pub use relay::Relay;
pub use replicas::Replicas;
pub use request::{Answer, Ask, client};
pub use retrieval::Retrieval;
pub use shared_object::compile_shared_object;
pub use stepped_clock::{SteppedClock, Threads};
pub use wait::{DEADLINE, wait_for};
pub use wall_clock::WallClock;
