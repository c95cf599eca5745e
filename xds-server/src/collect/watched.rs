//! A source of the fleet file, as the collector needs it.

use meridian_policy::fleet::{Fleet, Region};
use meridian_policy::source::{SignalFormat, SignalSource};
use meridian_policy::{ModelName, RegionName};
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest time limit of one scrape: a slower page describes the past.
const LONGEST: Duration = Duration::from_secs(5);
/// Shortest time limit of one scrape, for any scrape interval: a new connection takes this long.
const SHORTEST: Duration = Duration::from_millis(500);
/// Shortest time limit of a source with queries: each needs two requests, one after the other. Their samples carry
/// times, so a slow result is not mistaken for a new one.
const SHORTEST_OF_QUERIES: Duration = Duration::from_secs(2);

/// A source of the fleet file, with what is needed to read it.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchedSource {
    /// The region that it is about.
    pub region: RegionName,
    /// Its place in the fleet file, e.g. `signals[0]`.
    pub source: String,
    /// The source's entry in the fleet file.
    pub signal: SignalSource,
    /// The models of the region's pools.
    pub pools: BTreeSet<ModelName>,
    /// Samples older than this are refused.
    pub ttl: Duration,
}

impl WatchedSource {
    /// Every source of a fleet.
    pub fn of(fleet: &Fleet) -> Vec<Self> {
        let of_region = |(name, region): (&RegionName, &Region)| {
            let pools: BTreeSet<ModelName> = region.pools.keys().cloned().collect();
            let watched = |(index, signal): (usize, &SignalSource)| Self {
                region: name.clone(),
                source: format!("signals[{index}]"),
                signal: signal.clone(),
                pools: pools.clone(),
                ttl: fleet.unhealthy.signal_ttl,
            };
            let watched: Vec<Self> = region.signals.iter().enumerate().map(watched).collect();
            watched
        };
        fleet.regions.iter().flat_map(of_region).collect()
    }

    /// Time limit of one scrape.
    pub(super) fn limit(&self) -> Duration {
        let shortest = match self.signal.format {
            SignalFormat::Queries { .. } => SHORTEST_OF_QUERIES,
            _ => SHORTEST,
        };
        self.signal.every.clamp(shortest, LONGEST)
    }
}
