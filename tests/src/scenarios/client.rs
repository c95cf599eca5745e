//! The official OpenAI client for Python works unchanged.

use super::ensure;
use crate::fakes::Fail;
use crate::world::{MODEL, World, workspace};
use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// Runs a scenario of OpenAI's client against a gateway.
pub(super) async fn run(scenario: &str, gateway: &str) -> Result<String> {
    python(
        "openai_client.py",
        &[scenario, &format!("http://{gateway}/v1"), MODEL],
    )
    .await
}

/// The same of a caller from elsewhere.
pub(super) async fn run_from(country: &str, scenario: &str, gateway: &str) -> Result<String> {
    let url = format!("http://{gateway}/v1");
    python("openai_client.py", &[scenario, &url, MODEL, country]).await
}

/// Runs one of the clients.
pub(super) async fn python(client: &str, arguments: &[&str]) -> Result<String> {
    let python = workspace().join(".tools/python/bin/python");
    if !python.exists() {
        bail!(
            "{} is missing; run scripts/setup test first",
            python.display()
        );
    }
    let output = Command::new(&python)
        .arg(workspace().join("tests/clients").join(client))
        .args(arguments)
        // The clients take keys and more from there.
        .env_clear()
        .kill_on_drop(true)
        .output()
        .await
        .context("starting the client")?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure(output.status.success(), || {
        format!("{client} {}: {out}{err}", arguments[0])
    })?;
    Ok(out.trim().to_owned())
}

pub async fn client(world: &mut World) -> Result<String> {
    let west = world.block().public("us-west-2").to_string();
    let mut seen = vec![run("works", &west).await?];
    world.pool("us-west-2").kill().await?;
    seen.push(run("works", &west).await?);
    seen.push(run("errors", &west).await?);
    for server in world.servers() {
        server.update(|behaviour| behaviour.fail = Fail::Status(503));
    }
    seen.push(run("exhausted", &west).await?);
    Ok(seen.join("; "))
}
