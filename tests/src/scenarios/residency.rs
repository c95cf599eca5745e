//! Random edits of zones and fallbacks under faults: no byte of a pinned caller's request where the definition that it was decided under did
//! not allow it.

use crate::residency_hunt::{Hunt, Kind, conclude, hunt};
use crate::world::World;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::time::Duration;

/// Everything at once. `residency_hunt` does the same for as long as one wants.
pub async fn hunted(world: &mut World) -> Result<String> {
    of_kinds(world, 8, 55, Kind::all()).await
}

/// Requests are on their way while the names change: their bodies trickle, and home fails slowly.
pub async fn in_flight(world: &mut World) -> Result<String> {
    let kinds = [Kind::Edit, Kind::Failure, Kind::SlowUpload];
    of_kinds(world, 13, 20, kinds.into()).await
}

/// A gateway is stopped, or its link to the control plane is down or stalls midway, while the file is edited.
pub async fn away(world: &mut World) -> Result<String> {
    let kinds = [Kind::Edit, Kind::Stop, Kind::Cut, Kind::Stall];
    of_kinds(world, 12, 20, kinds.into()).await
}

/// The control plane is killed, and starts with an edited file.
pub async fn restarted(world: &mut World) -> Result<String> {
    let kinds = [Kind::Edit, Kind::ControlPlane];
    of_kinds(world, 11, 20, kinds.into()).await
}

/// Nothing fails: names of zones and fallbacks come to mean something else.
pub async fn edited(world: &mut World) -> Result<String> {
    of_kinds(world, 7, 20, [Kind::Edit].into()).await
}

async fn of_kinds(
    world: &mut World,
    seed: u64,
    seconds: u64,
    kinds: BTreeSet<Kind>,
) -> Result<String> {
    let plan = Hunt {
        seed,
        time: Duration::from_secs(seconds),
        requests: u64::MAX,
        kinds,
        goes_on: false,
        shrinks: Duration::ZERO,
        file_counts: false,
        older_filter: None,
    };
    let seen = hunt(world, &plan, |_| ()).await?;
    conclude(&seen).with_context(|| seen.stories())
}
