//! The clock of the control plane.

use meridian_planner::signal::Millis;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Returns the current time.
pub type Clock = fn() -> Millis;

/// The system time at the start of the process plus the monotonic time since. A system clock that is set would make old signals
/// look fresh, or fresh ones old.
pub fn steady_clock() -> Millis {
    static START: LazyLock<(Millis, Instant)> = LazyLock::new(|| (system_time(), Instant::now()));
    let (wall, started) = &*START;
    Millis(wall.0.saturating_add(millis(started.elapsed())))
}

/// The system's time, for what another process reads.
pub fn system_time() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Millis(millis(since.unwrap_or_default()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
