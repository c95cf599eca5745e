//! Signals, collected: pages of metrics that are scraped, queries that are asked, what is pushed, and what the gateways stream by themselves.
//!
//! ```text
//! source of the fleet file --Collector--> bytes --Page--> samples --preset::read, metrics::read--> [Reading] --> Scrape
//!                          \--Collector--> answers --query::understand--> [Reading] --> Scrape
//! whoever pushes --Signals--> samples --push::understand--> [Reading] --> Scrape
//! gateway --MetricsService--> message --gateway::family--> [Reading] --> GatewayEvent
//! ```
//!
//! Sources lie. A value that cannot be is [`Refused`], with a reason, and never becomes a reading; a source that fails
//! says nothing and holds up nobody else.

mod access;
mod collector;
mod fetch;
mod figures;
pub mod gateway;
mod interpreted;
mod metrics;
mod outcome;
pub mod page;
pub mod preset;
pub mod push;
mod query;
mod refused;
mod samples;
mod scrape;
mod value;
mod watched;

pub use collector::Collector;
pub use outcome::{Scrape, ScrapeError, Scraped};
pub use refused::{RefusalReason, Refused};
pub use watched::WatchedSource;

#[cfg(test)]
mod tests;
