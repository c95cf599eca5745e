//! The readings that were made of a page, an answer or a push.

use super::refused::Refused;
use meridian_planner::signal::Reading;

/// Readings, and the values that were refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interpreted {
    /// Values that were accepted.
    pub readings: Vec<Reading>,
    /// Values that were refused, with the reasons.
    pub refused: Vec<Refused>,
}
