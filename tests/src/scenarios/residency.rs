//! Random edits of zones and fallbacks under faults: no byte of a pinned caller's request where no definition allowed it.

use crate::residency_hunt::{Hunt, Kind, conclude, hunt};
use crate::world::World;
use anyhow::{Context, Result};
use std::time::Duration;

/// A short hunt. `residency_hunt` does the same for as long as one wants.
pub async fn hunted(world: &mut World) -> Result<String> {
    const SEED: u64 = 8;
    let plan = Hunt {
        seed: SEED,
        time: Duration::from_secs(55),
        requests: u64::MAX,
        kinds: Kind::all(),
        goes_on: false,
        shrinks: Duration::ZERO,
        file_counts: false,
        older_filter: None,
    };
    let seen = hunt(world, &plan, |_| ()).await?;
    conclude(&seen).with_context(|| seen.stories())
}
