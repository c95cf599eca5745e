//! The page in a real browser, served by a real control plane.

use super::ensure;
use crate::kill_hunt::Traffic;
use crate::world::{World, workspace};
use anyhow::{Context, Result};
use std::process::Stdio;
use tokio::process::Command;

/// The page's own tests (`xds-server/web/tests`), while requests run.
pub async fn page(world: &mut World) -> Result<String> {
    let traffic = Traffic::start(world)?;
    traffic.until_answered(50).await?;
    let hot = world.block().pool_control("us-west-2");
    let output = Command::new(workspace().join(".tools/node/node"))
        .args(["--test", "--test-reporter=tap", "tests/page.test.mjs"])
        .current_dir(workspace().join("xds-server/web"))
        .env(
            "MERIDIAN_PAGE",
            format!("http://{}/", world.block().status()),
        )
        .env("MERIDIAN_HOT", format!("http://{hot}/behaviour"))
        .stdin(Stdio::null())
        .output()
        .await
        .context("node; `scripts/setup test` gets it")?;
    let tally = traffic.stop(world).await?;
    let out = String::from_utf8_lossy(&output.stdout);
    let count = |of: &str| {
        let line = out.lines().find_map(|line| line.strip_prefix(of));
        line.and_then(|count| count.trim().parse::<u32>().ok())
    };
    let (passed, failed) = (count("# pass"), count("# fail"));
    ensure(
        output.status.success() && passed > Some(10) && failed == Some(0),
        || format!("{out}{}", String::from_utf8_lossy(&output.stderr)),
    )?;
    // Callers at a gateway that does not serve them are refused, which the page shows.
    let mut wrong = tally.wrong.iter().filter(|it| !it.contains(": 421: "));
    ensure(wrong.next().is_none(), || tally.wrong.join("\n"))?;
    Ok(format!(
        "{} tests in Chromium, with {} requests meanwhile",
        passed.unwrap_or_default(),
        tally.requests
    ))
}
