//! Signals, collected: pages of metrics that are scraped, queries that are asked, what is pushed, and what the gateways stream by themselves.
//!
//! ```text
//! source of the fleet file --Collector--> bytes --Page--> samples --preset::read, metrics::read--> [Reading] --> Scrape
//!                          \--Collector--> answers --query::understand--> [Reading] --> Scrape
//! whoever pushes --Signals--> samples --push::understand--> [Reading] --> Scrape
//! gateway --MetricsService--> message --gateway::family--> [Reading] --> Heard
//! ```
//!
//! Sources lie. A value that cannot be is [`Refused`], with a reason, and never becomes a reading; a source that fails
//! says nothing and holds up nobody else.

mod access;
mod collector;
mod fetch;
pub mod gateway;
mod metrics;
pub mod page;
pub mod preset;
pub mod push;
mod query;
mod refused;
mod scrape;
mod told;
mod value;

pub use collector::Collector;
pub use refused::{Refused, Why};
pub use scrape::{Scrape, ScrapeError, Scraped, Watched};

use meridian_planner::signal::Millis;
use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub type Clock = fn() -> Millis;

/// The machine's own clock as it was when this program began, and the time since: a clock that is set back would make
/// old signals fresh, and new ones late.
pub fn wall_clock() -> Millis {
    static BEGIN: LazyLock<(SystemTime, Instant)> =
        LazyLock::new(|| (SystemTime::now(), Instant::now()));
    let (wall, begun) = &*BEGIN;
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default() + begun.elapsed();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
