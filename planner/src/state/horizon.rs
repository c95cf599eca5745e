//! How far back is looked.

use std::time::Duration;

/// The last seconds.
pub const LATELY: Duration = Duration::from_secs(5);

/// The longest time for which utilization must have been low before a region takes its callers back.
pub const CALM_MOST: Duration = Duration::from_secs(60);

/// For how long utilization must have been low before a region takes its callers back: a few times as long as requests stay.
pub fn calm(residence_time: Duration) -> Duration {
    (residence_time * 3).clamp(LATELY, CALM_MOST)
}

/// Observations that are older are forgotten.
pub const FORGOTTEN: Duration = Duration::from_secs(600);
