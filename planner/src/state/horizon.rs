//! Time horizons of the state.

use std::time::Duration;

/// Horizon of the recent load.
pub const LATELY: Duration = Duration::from_secs(5);

/// Maximum time of low utilization before a region takes traffic back.
pub const CALM_MOST: Duration = Duration::from_secs(60);

/// Time of low utilization before a region takes traffic back: three residence times, within bounds.
pub fn calm(residence_time: Duration) -> Duration {
    (residence_time * 3).clamp(LATELY, CALM_MOST)
}

/// Age after which observations are dropped.
pub const FORGOTTEN: Duration = Duration::from_secs(600);
