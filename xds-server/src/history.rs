//! The fleets whose definitions the gateways know.

use meridian_planner::definition::definitions;
use meridian_policy::Fleet;
use meridian_policy::definition::Definitions;

/// A fleet, with the IDs of its definitions.
#[derive(Clone, Debug)]
pub struct Defined<'f> {
    /// The fleet.
    pub fleet: &'f Fleet,
    /// The IDs.
    pub ids: Definitions,
}

impl<'f> From<&'f Fleet> for Defined<'f> {
    fn from(fleet: &'f Fleet) -> Self {
        Self {
            fleet,
            ids: definitions(fleet),
        }
    }
}

/// The fleet in force, and earlier ones: requests that were decided under their definitions may still be on their way.
#[derive(Clone, Debug)]
pub struct History<'f> {
    /// The fleet in force.
    pub current: Defined<'f>,
    /// Earlier fleets, the newest first.
    pub earlier: Vec<Defined<'f>>,
}

impl<'f> History<'f> {
    /// A fleet after earlier ones, the newest first.
    pub fn new(current: &'f Fleet, earlier: impl IntoIterator<Item = &'f Fleet>) -> Self {
        Self {
            current: current.into(),
            earlier: earlier.into_iter().map(Defined::from).collect(),
        }
    }

    /// All of them, the newest first.
    pub fn all(&self) -> impl Iterator<Item = &Defined<'f>> {
        std::iter::once(&self.current).chain(&self.earlier)
    }

    /// All fleets, the newest first.
    pub fn fleets(&self) -> impl Iterator<Item = &'f Fleet> {
        self.all().map(|defined| defined.fleet)
    }
}

impl<'f> From<&'f Fleet> for History<'f> {
    fn from(current: &'f Fleet) -> Self {
        Self::new(current, [])
    }
}

impl<'f> From<&History<'f>> for History<'f> {
    fn from(history: &History<'f>) -> Self {
        history.clone()
    }
}
