//! The routers, one per strategy. All of them get the same inputs: candidates in order of distance without regions that
//! health checks found down, metrics pages, probes, and the results of their own attempts.

mod build;
mod cooldown;
mod interface;
mod latency;
mod least_load;
mod meridian;
mod oracle;
mod queue;
mod server_picker;
mod simple;

pub use build::build;
pub use interface::{
    AttemptResult, Decision, HomeShares, ProbeResult, RouteQuery, Router, ServerPick,
};
