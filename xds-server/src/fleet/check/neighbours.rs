//! Distances between regions, and the order of failover.

use super::{Check, Names, field, listed};
use crate::fleet::raw::{RawLocation, RawRegion};
use meridian_policy::RegionName;
use meridian_policy::location::Location;
use std::collections::BTreeMap;
use std::time::Duration;

/// The known distances between regions.
pub(super) struct Neighbours {
    locations: BTreeMap<String, Location>,
    /// The round-trip time between two regions, if known.
    said: BTreeMap<(String, String), Duration>,
    regions: Vec<String>,
}

impl Neighbours {
    fn round_trip(&self, here: &str, there: &str) -> Option<Duration> {
        let said = |from: &str, to: &str| self.said.get(&(from.to_owned(), to.to_owned())).copied();
        said(here, there).or_else(|| said(there, here)).or_else(|| {
            let (here, there) = (self.locations.get(here)?, self.locations.get(there)?);
            Some(here.round_trip(there))
        })
    }

    /// Where a region is, if that is known.
    pub(super) fn location(&self, name: &str) -> Option<Location> {
        self.locations.get(name).copied()
    }

    /// Distances from a region to the others, where known.
    pub(super) fn round_trips(&self, here: &str) -> BTreeMap<RegionName, Duration> {
        let others = self.regions.iter().filter(|other| *other != here);
        others
            .filter_map(|other| Some((other.parse().ok()?, self.round_trip(here, other)?)))
            .collect()
    }
}

impl Check {
    pub(super) fn neighbours(&mut self, raw: &BTreeMap<String, RawRegion>) -> Neighbours {
        let mut neighbours = Neighbours {
            locations: BTreeMap::new(),
            said: BTreeMap::new(),
            regions: raw.keys().cloned().collect(),
        };
        for (name, region) in raw {
            let at = format!("regions.{name}.location");
            let location = region.location.and_then(|raw| self.location(&at, raw));
            neighbours
                .locations
                .extend(location.map(|location| (name.clone(), location)));
            for (other, time) in &region.round_trips {
                let at = format!("regions.{name}.round_trips.{other}");
                if other == name {
                    self.problem(&at, "a region is not its own neighbour; list the others");
                } else if !raw.contains_key(other) {
                    let known = listed(raw.keys());
                    let message = format!("there is no region `{other}`; there are: {known}");
                    self.problem(&at, message);
                } else if let Some(time) = self.at(&at, field::duration(time)) {
                    neighbours.said.insert((name.clone(), other.clone()), time);
                }
            }
        }
        neighbours
    }

    fn location(&mut self, at: &str, raw: RawLocation) -> Option<Location> {
        let RawLocation {
            latitude,
            longitude,
        } = raw;
        let mut right = true;
        for (field, value, most) in [
            ("latitude", latitude, 90.0),
            ("longitude", longitude, 180.0),
        ] {
            if !(-most..=most).contains(&value) {
                let message = format!("{value} is not between -{most} and {most} degrees");
                self.problem(format!("{at}.{field}"), message);
                right = false;
            }
        }
        right.then_some(Location {
            latitude,
            longitude,
        })
    }

    /// All other regions: the listed ones first, then the rest by distance, then those of unknown distance by name.
    pub(super) fn nearest(
        &mut self,
        at: &str,
        name: &str,
        listed: Vec<String>,
        names: &Names,
        neighbours: &Neighbours,
    ) -> Vec<RegionName> {
        if let Some(index) = listed.iter().position(|other| other == name) {
            self.problem(
                format!("{at}[{index}]"),
                "a region is not its own neighbour; list the others",
            );
        }
        let mut nearest: Vec<RegionName> = self.resolve(at, listed, &names.regions, "region");
        let away = |other: &str| neighbours.round_trip(name, other).unwrap_or(Duration::MAX);
        let mut others: Vec<&String> = names
            .regions
            .iter()
            .filter(|other| *other != name)
            .collect();
        others.sort_by_key(|other| away(other));
        for other in others {
            if !nearest.iter().any(|listed| listed.as_str() == other) {
                nearest.extend(other.parse().ok());
            }
        }
        nearest
    }
}
