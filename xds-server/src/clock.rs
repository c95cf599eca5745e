//! The clock of the control plane.

use meridian_planner::signal::Millis;
use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Returns the current time.
pub type Clock = fn() -> Millis;

/// The system time at the start of the process plus the monotonic time since. A system clock that is set back would make
/// old signals look fresh and new ones look late.
pub fn wall_clock() -> Millis {
    static START: LazyLock<(SystemTime, Instant)> =
        LazyLock::new(|| (SystemTime::now(), Instant::now()));
    let (wall, started) = &*START;
    let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default() + started.elapsed();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
