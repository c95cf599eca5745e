//! Signals, collected: pages of metrics that are scraped, and what the gateways stream by themselves.
//!
//! ```text
//! source of the fleet file --Collector--> bytes --Page--> samples --preset::read--> [Reading] --> Scrape
//! gateway --MetricsService--> message --gateway::family--> [Reading] --> Report
//! ```
//!
//! Sources lie. A value that cannot be is [`Refused`], with a reason, and never becomes a reading; a source that fails
//! says nothing and holds up nobody else.

mod collector;
pub mod gateway;
pub mod page;
pub mod preset;
mod refused;
mod scrape;
mod value;

pub use collector::Collector;
pub use refused::{Refused, Why};
pub use scrape::{Scrape, ScrapeError, Scraped, Watched};

use meridian_policy::signal::Millis;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time.
pub type Clock = fn() -> Millis;

/// The machine's own clock.
pub fn wall_clock() -> Millis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
