//! What operators say by the command line, while requests go on.

use super::ensure;
use super::overflow::share;
use crate::kill_hunt::Traffic;
use crate::world::{MODEL, World, meridian, wait_for};
use anyhow::{Context, Result};
use serde_json::Value;
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
    Ok(format!(
        "{} requests at 200/s, none failed; us-west-2 was left after {left:.1?} over a kill of the control plane, and kept nothing; all back after {back:.1?}",
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
        "there is no intent",
    )
    .await?;
    Ok("40 % by override, kept by a freeze, then back to 100 % in steps".to_owned())
}
