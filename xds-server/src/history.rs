//! The fleets whose definitions the gateways know.

use meridian_planner::topology::Topology;
use meridian_policy::Fleet;
use std::sync::Arc;

/// The fleet in force, and earlier ones: requests that were decided under their definitions may still be on their way. A clone shares
/// them.
#[derive(Clone, Debug)]
pub struct History {
    /// The fleet in force.
    pub current: Arc<Topology>,
    /// Earlier fleets, the newest first.
    pub earlier: Vec<Arc<Topology>>,
}

impl History {
    /// All of them, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &Topology> {
        let earlier = self.earlier.iter().map(Arc::as_ref);
        std::iter::once(self.current.as_ref()).chain(earlier)
    }

    /// All fleets, the newest first.
    pub fn fleets(&self) -> impl Iterator<Item = &Fleet> {
        self.all().map(|topology| topology.fleet().as_ref())
    }
}

impl From<Arc<Topology>> for History {
    fn from(current: Arc<Topology>) -> Self {
        Self {
            current,
            earlier: Vec::new(),
        }
    }
}

impl From<&Fleet> for History {
    fn from(current: &Fleet) -> Self {
        Self::from(Arc::new(Topology::from(current)))
    }
}

impl From<&History> for History {
    fn from(history: &History) -> Self {
        history.clone()
    }
}
