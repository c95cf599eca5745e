//! Editions of the fleet file.

use crate::fleet::{self, FleetError};
use crate::history::History;
use meridian_planner::signal::Millis;
use meridian_planner::topology::Topology;
use meridian_policy::{Fleet, ZoneId};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A fleet, and the text of the file that describes it: another process can read it again.
#[derive(Clone, Debug)]
pub struct Edition {
    /// The fleet.
    pub fleet: Arc<Topology>,
    /// The text.
    pub text: Arc<str>,
}

impl Edition {
    /// Reads the text of a fleet file.
    ///
    /// # Errors
    ///
    /// If the text is not valid.
    pub fn parse(text: &str) -> Result<Self, FleetError> {
        Ok(Self::new(fleet::parse(text)?, text))
    }

    /// A fleet that was read from a text.
    pub fn new(fleet: Fleet, text: &str) -> Self {
        Self {
            fleet: Arc::new(fleet.into()),
            text: text.into(),
        }
    }
}

/// The most earlier editions that are kept. Requests that were decided under older ones are refused.
const MOST_KEPT: usize = 16;

/// How long an edition is kept beyond the longest answer, for messages under way.
const MARGIN: Duration = Duration::from_secs(5);

/// Earlier editions whose definitions are kept, the newest first: requests that were decided under them may be on their way.
#[derive(Clone, Debug, Default)]
pub struct Earlier(Vec<Kept>);

#[derive(Clone, Debug)]
struct Kept {
    edition: Edition,
    /// Since when no gateway decides by it. `None`: some gateway may.
    superseded: Option<Millis>,
}

impl Earlier {
    /// Editions that an earlier process has kept, the newest first. Gateways may still decide by any of them.
    pub fn saved(editions: Vec<Edition>) -> Self {
        let kept = editions.into_iter().map(|edition| Kept {
            edition,
            superseded: None,
        });
        Self(kept.collect())
    }

    /// These and one more, without those that have no definition of their own beside the `next` fleet.
    pub fn with(&self, edition: &Edition, next: &Topology) -> Self {
        let mut known = ids(next);
        let newest = Kept {
            edition: edition.clone(),
            superseded: None,
        };
        let mut kept = Vec::new();
        for candidate in std::iter::once(newest).chain(self.0.iter().cloned()) {
            let own = ids(&candidate.edition.fleet);
            let same_domain = candidate.edition.fleet.trust_domain == next.trust_domain;
            if same_domain && !own.is_subset(&known) {
                known.extend(own);
                kept.push(candidate);
            }
        }
        kept.truncate(MOST_KEPT);
        Self(kept)
    }

    /// Notes that no gateway decides by any of them since now.
    pub fn supersede(&mut self, now: Millis) {
        for kept in &mut self.0 {
            kept.superseded.get_or_insert(now);
        }
    }

    /// Whether some gateway may still decide by one of them.
    pub fn in_use(&self) -> bool {
        self.0.iter().any(|kept| kept.superseded.is_none())
    }

    /// Removes those whose last requests have ended. Returns whether there were any.
    pub fn retire(&mut self, now: Millis) -> bool {
        let before = self.0.len();
        self.0.retain(|kept| {
            let rest = longest_answer(&kept.edition.fleet) + MARGIN;
            kept.superseded.is_none_or(|at| now.since(at) < rest)
        });
        self.0.len() < before
    }

    /// The editions, the newest first.
    pub fn editions(&self) -> impl Iterator<Item = &Edition> {
        self.0.iter().map(|kept| &kept.edition)
    }

    /// A fleet with the definitions of all of them.
    pub fn before(&self, current: &Arc<Topology>) -> History {
        History {
            current: Arc::clone(current),
            earlier: self
                .editions()
                .map(|edition| edition.fleet.clone())
                .collect(),
        }
    }

    /// The definitions of zones that they have beside a fleet's own.
    pub fn kept(&self, current: &Topology) -> BTreeSet<ZoneId> {
        let mut kept: BTreeSet<ZoneId> = self
            .editions()
            .flat_map(|edition| ids(&edition.fleet))
            .collect();
        for id in ids(current) {
            kept.remove(&id);
        }
        kept
    }
}

/// The definitions of the zones of a fleet.
pub fn ids(fleet: &Topology) -> BTreeSet<ZoneId> {
    fleet.definitions().zones.values().cloned().collect()
}

/// The longest time that a request may take.
fn longest_answer(fleet: &Fleet) -> Duration {
    let zones = fleet.zones.keys();
    let models = fleet.models();
    let own = zones.flat_map(|zone| models.iter().map(move |model| (zone, *model)));
    let own = own.map(|(zone, model)| fleet.limits_of(zone, model).answer);
    own.max().unwrap_or_default().max(fleet.limits.answer)
}
