//! Collects signals: scraped pages of metrics, query results, pushes, and the statistics that gateways stream.
//!
//! ```text
//! source of the fleet file --Collector--> bytes --Page--> samples --preset::read, metrics::read--> [Reading] --> Scrape
//!                          \--Collector--> results --query::interpret--> [Reading] --> Scrape
//! pusher --Pushes--> samples --push::interpret--> [Reading] --> Scrape
//! gateway --MetricsService--> message --gateway::family--> [Reading] --> GatewayEvent
//! ```
//!
//! Sources may be wrong. A value that cannot be true is [`Refused`] with a reason and never becomes a reading. A source
//! that fails delays no other source.

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
