//! Time horizons of the state.

use std::time::Duration;

/// Horizon of the recent load.
pub const RECENT: Duration = Duration::from_secs(5);

/// Maximum time of low utilization before a region takes traffic back.
pub const MAX_CALM: Duration = Duration::from_secs(60);

/// Time of low utilization before a region takes traffic back: three residence times, within bounds.
pub fn calm(residence_time: Duration) -> Duration {
    (residence_time * 3).clamp(RECENT, MAX_CALM)
}

/// Age after which observations are dropped.
pub const RETENTION: Duration = Duration::from_secs(600);
