//! Random edits of zones and fallbacks under faults: no byte of a pinned caller's request where the definition that it was decided under did
//! not allow it.

use super::config::filter_file;
use super::config::{until_refused, until_renewed_twice, until_taken};
use super::ensure;
use crate::residency_hunt::{Hunt, Kind, conclude, hunt};
use crate::world::{World, wait_for};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
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

/// Every gateway refuses the filter's policy, and the zone moves to another region all the same: no request goes there before the
/// gateways have taken a policy that says so.
pub async fn refused(world: &mut World) -> Result<String> {
    const MISSING: &str = "/nowhere/the_filter";
    let original = world.fleet_file()?;
    let filter = filter_file(&original)?;
    let home = "pinned: true, regions: [eu-west-1]";
    ensure(original.contains(home), || "no zone to move".into())?;
    let moved = original.replace(home, "pinned: true, regions: [us-west-2]");
    let callers = Callers::default();
    world.edit(&original.replace(&filter, MISSING))?;
    until_refused(world, MISSING).await?;
    callers.ask(world).await?;
    let reloads = world.report().await?.counts.reloads;
    world.edit(&moved.replace(&filter, MISSING))?;
    wait_for("the edit to be read", || async {
        callers.ask(world).await?;
        Ok(world.report().await?.counts.reloads > reloads)
    })
    .await?;
    until_renewed_twice(world).await?;
    for _ in 0..20 {
        callers.ask(world).await?;
    }
    world.edit(&moved)?;
    until_taken(world).await?;
    wait_for("the zone to be where the file has it", || async {
        let answer = world.ask("us-west-2").country("DE").send().await?;
        Ok(answer.region() == "us-west-2")
    })
    .await?;
    Ok(format!(
        "no policy taken, and the zone moved from eu-west-1 to us-west-2: {:?}, none by us-west-2; once the policy is taken, all there",
        callers.outcomes()
    ))
}

/// Callers of the EU at two gateways, and what they got: never an answer from outside the EU.
#[derive(Default)]
struct Callers {
    outcomes: Mutex<BTreeMap<String, usize>>,
}

impl Callers {
    fn outcomes(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, world: &World) -> Result<()> {
        for gateway in ["eu-west-1", "us-west-2"] {
            let ask = world.ask(gateway).country("DE");
            let answer = ask.send().await?;
            let reached = world.reached(ask.marker());
            ensure(reached.iter().all(|server| server == "eu-west-1"), || {
                format!("at {gateway}: {} reached {reached:?}", answer.status)
            })?;
            let outcome = format!("{} {}", answer.status, answer.region());
            let outcome = outcome.trim_end().to_owned();
            *self.outcomes().entry(outcome).or_default() += 1;
        }
        Ok(())
    }
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
