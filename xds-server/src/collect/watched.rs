//! A source of the fleet file, as the collector needs it.

use meridian_policy::fleet::{Fleet, Region};
use meridian_policy::source::{SignalSource, Tells};
use meridian_policy::{ModelName, RegionName};
use std::collections::BTreeSet;
use std::time::Duration;

/// A page that takes longer tells about a time that is over.
const LONGEST: Duration = Duration::from_secs(5);
/// However often a page is read, a connection needs this long.
const SHORTEST: Duration = Duration::from_millis(500);
/// Queries are asked one after the other for their times, and these say how old the samples are, however long it took.
const SHORTEST_OF_QUERIES: Duration = Duration::from_secs(2);

/// A source of the fleet file, with what is needed to understand it.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchedSource {
    /// The region that it is about.
    pub region: RegionName,
    /// Its place in the region, e.g. `signals[0]`.
    pub source: String,
    /// Where and how it is read.
    pub signal: SignalSource,
    /// The models that the region has.
    pub pools: BTreeSet<ModelName>,
    /// What is older is no signal.
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

    /// How long one look may take.
    pub(super) fn limit(&self) -> Duration {
        let shortest = match self.signal.tells {
            Tells::Queries { .. } => SHORTEST_OF_QUERIES,
            _ => SHORTEST,
        };
        self.signal.every.clamp(shortest, LONGEST)
    }
}
