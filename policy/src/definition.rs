//! Definitions of zones and fallbacks.

use crate::name::{FallbackId, FallbackName, ZoneId, ZoneName};
use std::collections::BTreeMap;

/// The IDs of all zones and fallbacks of a fleet. The planner makes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    /// The ID of each zone.
    pub zones: BTreeMap<ZoneName, ZoneId>,
    /// The ID of each fallback.
    pub fallbacks: BTreeMap<FallbackName, FallbackId>,
}
