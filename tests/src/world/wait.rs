//! Waiting for conditions, with a deadline.

use anyhow::{Result, bail};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The deadline of everything that a test waits for.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Between two looks at a condition that tests wait for, at first and after some seconds.
const SOON: Duration = Duration::from_millis(20);
const SELDOM: Duration = Duration::from_millis(100);

/// Polls until a condition holds.
///
/// # Errors
/// The condition's own, or that the deadline passed.
pub async fn wait_for<F: Future<Output = Result<bool>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> Result<()> {
    let begun = Instant::now();
    while !condition().await? {
        if begun.elapsed() > DEADLINE {
            bail!("waited {DEADLINE:?} for {what}");
        }
        // Less often with time: a look takes processor time from what is waited for.
        sleep((begun.elapsed() / 20).clamp(SOON, SELDOM)).await;
    }
    Ok(())
}
