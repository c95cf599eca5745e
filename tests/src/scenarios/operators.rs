//! What operators say by the command line, while requests go on.

use super::ensure;
use super::overflow::share;
use crate::kill_hunt::Traffic;
use crate::world::{MODEL, World, meridian, wait_for};
use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use meridian_planner::plan::{Cause, Moved, Signal};
use meridian_xds_server::serve::plans::PlanHistory;
use meridian_xds_server::serve::store::{PlanRecord, Why};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Output;
use tokio::time::Instant;

/// The exit code of what is refused.
const REFUSED: i32 = 3;

/// Runs `meridian` with these arguments, an address, and a reason where one is wanted.
async fn run(world: &mut World, arguments: &[&str]) -> Result<Output> {
    let address = world.control_plane()?.status().to_string();
    let output = tokio::process::Command::new(meridian()?)
        .args(arguments)
        .args(["--address", &address])
        .env("USER", "ana")
        .output();
    output.await.context("running meridian")
}

/// Runs `meridian`, which does what it is told. Returns what it prints.
pub async fn done(world: &mut World, arguments: &[&str]) -> Result<String> {
    let output = run(world, arguments).await?;
    ensure(output.status.success(), || {
        let error = String::from_utf8_lossy(&output.stderr);
        format!("{arguments:?}: {error}")
    })?;
    Ok(String::from_utf8(output.stdout)?)
}

async fn refused(world: &mut World, arguments: &[&str], says: &str) -> Result<()> {
    let output = run(world, arguments).await?;
    let error = String::from_utf8(output.stderr)?;
    ensure(
        output.status.code() == Some(REFUSED) && error.contains(says) && output.stdout.is_empty(),
        || format!("{arguments:?}: {}: {error}", output.status),
    )
}

async fn until_share(world: &World, wanted: u8) -> Result<()> {
    wait_for(&format!("us-west-2 to keep {wanted} %"), || async {
        Ok(share(world, "us-west-2").await? == wanted)
    })
    .await
}

/// The drain and its end are in the record, and the record is whole.
async fn recorded(world: &mut World) -> Result<()> {
    let audit: Value = serde_json::from_str(&done(world, &["audit", "--output", "json"]).await?)?;
    let records = audit["records"].as_array().context("no records")?;
    ensure(
        records.len() == 2
            && records[0]["change"] == "created"
            && records[1]["change"] == "undone"
            && records[1]["by"] == "ana"
            && audit["broken_at"].is_null(),
        || audit.to_string(),
    )
}

/// The plans that moved something, the newest last.
async fn plans(world: &mut World) -> Result<Vec<PlanRecord>> {
    let history = ["plan", "history", "--last", "1000", "--output", "json"];
    let history: PlanHistory = serde_json::from_str(&done(world, &history).await?)?;
    Ok(history.plans)
}

/// The utilization that moved callers of us-west-2 away, if it did after a plan.
fn shed_by(plans: &[PlanRecord], after: u64) -> Option<f64> {
    let moves = plans.iter().filter(|plan| plan.number > after);
    moves.flat_map(|plan| &plan.moves).find_map(|each| {
        let Moved::Placement {
            gateway,
            zone,
            before: Some(before),
            after: Some(after),
            ..
        } = &each.moved
        else {
            return None;
        };
        let is_own = gateway.as_str() == "us-west-2" && zone.as_str() == "global";
        let utilization = each.causes.iter().find_map(|cause| match cause {
            Cause::Above(it) if it.signal == Signal::Utilization && it.region == *gateway => {
                Some(it.value)
            }
            _ => None,
        });
        utilization.filter(|_| is_own && after.home_share < before.home_share)
    })
}

/// What moved is in the history with its cause: a drain over two deaths, and a pool that gets hot. It survives another death and goes on.
async fn remembered(world: &mut World, drain: u64) -> Result<String> {
    let before = plans(world).await?;
    let caused = |plans: &[PlanRecord], cause: &Cause| {
        let mut moves = plans.iter().flat_map(|plan| &plan.moves);
        moves.any(|each| each.causes.contains(cause))
    };
    for cause in [
        Cause::Intent { number: drain },
        Cause::IntentEnded { number: drain },
    ] {
        ensure(caused(&before, &cause), || {
            format!("nothing was moved by {cause}: {before:?}")
        })?;
    }
    let last = before.last().context("no plans")?.number;
    let hot = world.pool("us-west-2");
    hot.update(|behaviour| behaviour.kv_cache_usage = 0.95);
    let mut seen = None;
    let begun = Instant::now();
    while seen.is_none() {
        seen = shed_by(&plans(world).await?, last);
        ensure(begun.elapsed().as_secs() < 30, || "nothing was shed".into())?;
    }
    let before = plans(world).await?;
    let control_plane = world.control_plane()?;
    control_plane.kill().await?;
    control_plane.restart().await?;
    let after = plans(world).await?;
    let numbers = after.iter().map(|plan| plan.number);
    let starts = after.iter().filter(|plan| plan.why == Why::Start);
    let goes_on = after.starts_with(&before) && after.len() > before.len();
    ensure(
        goes_on && numbers.eq(1..=after.len() as u64) && starts.count() == 4,
        || format!("before: {before:?}\nafter: {after:?}"),
    )?;
    let utilization = seen.unwrap_or_default() * 100.0;
    Ok(format!(
        "{} plans in the history, over three kills; a utilization of {utilization:.0} % moved callers away",
        after.len()
    ))
}

/// Conversations of each kind that are sent at a time.
const CONVERSATIONS: usize = 10;

/// How many conversations left us-west-2, of those that began and of those that went on, and how many there were: by the share that the
/// gateway was to keep.
type Left = BTreeMap<u8, [(usize, usize); 2]>;

/// Sends conversations while us-west-2 is drained: some begin, and some go on. Those that begin leave first.
pub async fn conversations(world: &mut World) -> Result<String> {
    done(world, &["drain", "us-west-2", "--force", "--why", "x"]).await?;
    let world = &*world;
    let mut left = Left::new();
    while share(world, "us-west-2").await? > 0 || !left.contains_key(&0) {
        let answers = (0..2 * CONVERSATIONS).map(|number| converse(world, number % 2 == 1));
        for (goes_on, share, has_left) in try_join_all(answers).await? {
            let of = left.entry(share).or_default();
            let (leaving, all) = &mut of[usize::from(goes_on)];
            *leaving += usize::from(has_left);
            *all += 1;
        }
    }
    let parts = left.iter().map(|(share, kinds)| {
        let part = |(leaving, all): (usize, usize)| leaving as f64 / all.max(1) as f64;
        (*share, part(kinds[0]), part(kinds[1]))
    });
    let parts: Vec<(u8, f64, f64)> = parts.collect();
    let is_ordered = parts.iter().all(|(_, new, ongoing)| *ongoing <= new + 0.2);
    let is_clear = parts.iter().any(|(_, new, ongoing)| new - ongoing > 0.5);
    ensure(is_ordered && is_clear, || {
        format!("left by share: {left:?}")
    })?;
    let parts = parts.iter().map(|(share, new, ongoing)| {
        let (new, ongoing) = (new * 100.0, ongoing * 100.0);
        format!("at {share} % {new:.0} % and {ongoing:.0} %")
    });
    let parts: Vec<String> = parts.rev().collect();
    Ok(format!(
        "of conversations that began and of those that went on had left: {}",
        parts.join(", ")
    ))
}

/// Whether a conversation went on, the share at which it was decided, and whether it left us-west-2.
async fn converse(world: &World, goes_on: bool) -> Result<(bool, u8, bool)> {
    let ask = world.ask("us-west-2").country("US");
    let mut turns = vec![json!({ "role": "user", "content": ask.marker() })];
    if goes_on {
        turns.push(json!({ "role": "assistant", "content": "yes" }));
        turns.push(json!({ "role": "user", "content": "and?" }));
    }
    let answer = ask.json(&json!({ "model": MODEL, "messages": turns }));
    let answer = answer.send().await?;
    ensure(answer.status == 200, || answer.text())?;
    let decision = answer.header("x-meridian-decision");
    let mut words = decision.split(' ');
    let share = words.find_map(|word| word.strip_prefix("home_share="));
    let share = share.map_or(Ok(100), str::parse)?;
    Ok((goes_on, share, answer.region() != "us-west-2"))
}

/// A drain of us-west-2 at 200 requests a second, over two deaths of the control plane, and back; what may not be drained is not.
pub async fn drained(world: &mut World) -> Result<String> {
    let traffic = Traffic::start(world)?;
    traffic.until_answered(200).await?;
    let no_region = "callers of `eea` would have no region with llama-3.1-70b";
    refused(world, &["drain", "eu-west-1", "--why", "x"], no_region).await?;
    let unknown = "the fleet has no `mars`";
    refused(world, &["drain", "mars", "--why", "x"], unknown).await?;
    let begun = Instant::now();
    done(
        world,
        &["drain", "us-west-2", "--for", "10m", "--why", "new drivers"],
    )
    .await?;
    let control_plane = world.control_plane()?;
    control_plane.kill().await?;
    control_plane.restart().await?;
    until_share(world, 0).await?;
    let left = begun.elapsed();
    let control_plane = world.control_plane()?;
    control_plane.kill().await?;
    control_plane.restart().await?;
    let listed = done(world, &["intents"]).await?;
    ensure(listed.contains("drain us-west-2"), || listed.clone())?;
    world.pool("us-west-2").clear();
    traffic.until_answered(400).await?;
    let kept = world.pool("us-west-2").requests().len();
    ensure(kept == 0, || format!("{kept} requests were at us-west-2"))?;
    let begun = Instant::now();
    done(world, &["undrain", "us-west-2", "--why", "drivers are in"]).await?;
    until_share(world, 100).await?;
    let back = begun.elapsed();
    let tally = traffic.stop(world).await?;
    ensure(tally.wrong.is_empty(), || {
        format!(
            "{} of {}: {}",
            tally.wrong.len(),
            tally.requests,
            tally.wrong[0]
        )
    })?;
    recorded(world).await?;
    let remembered = remembered(world, 1).await?;
    Ok(format!(
        "{} requests at 200/s, none failed; us-west-2 was left after {left:.1?} over a kill of the control plane, and kept nothing; all back after {back:.1?}; {remembered}",
        tally.requests
    ))
}

/// An override is what is decided, a freeze keeps it, and both end when they are taken back.
pub async fn overridden(world: &mut World) -> Result<String> {
    let over = [
        "override",
        "--gateway",
        "us-west-2",
        "--zone",
        "global",
        "--model",
        MODEL,
        "--home-share",
        "40",
        "--overflow",
        "us-east-1=1",
        "--why",
        "a test",
    ];
    done(world, &over).await?;
    until_share(world, 40).await?;
    let mut wrong = over;
    wrong[8] = "140";
    refused(world, &wrong, "home_share: 140 is no percentage").await?;
    let frozen: Value = serde_json::from_str(
        &done(world, &["freeze", "--why", "a test", "--output", "json"]).await?,
    )?;
    let number = frozen["number"].to_string();
    let intents: Value =
        serde_json::from_str(&done(world, &["intents", "--output", "json"]).await?)?;
    let intents = intents.as_object().context("no intents")?;
    let of_override = intents.keys().find(|key| **key != number);
    let of_override = of_override.context("no override")?.clone();
    done(world, &["undo", &of_override, "--why", "a test"]).await?;
    // Plans are made once a second at least, and home has room.
    let begun = world.report().await?.at;
    wait_for("ten plans", || async {
        Ok(world.report().await?.at.since(begun).as_secs() >= 10)
    })
    .await?;
    let kept = share(world, "us-west-2").await?;
    ensure(kept == 40, || format!("frozen at 40 %, and it is {kept} %"))?;
    done(world, &["undo", &number, "--why", "a test"]).await?;
    until_share(world, 100).await?;
    refused(
        world,
        &["undo", &number, "--why", "a test"],
        "has ended; `meridian audit` says how",
    )
    .await?;
    Ok("40 % by override, kept by a freeze, then back to 100 % in steps".to_owned())
}
