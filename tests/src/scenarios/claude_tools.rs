//! Agents through an outage of all pools: loops of tool calls that Claude answers.

use super::client::python;
use super::ensure;
use crate::fakes::Fail;
use crate::world::{MODEL, REGIONS, World};
use anyhow::Result;
use serde_json::{Value, json};

/// The official clients, in the US by Anthropic, in the EU by another host.
pub async fn loops(world: &mut World) -> Result<String> {
    for region in REGIONS {
        let pool = world.pool(region);
        pool.update(|behaviour| behaviour.fail = Fail::Status(503));
    }
    let mut seen = Vec::new();
    for (gateway, country) in [("us-west-2", "US"), ("eu-west-1", "DE")] {
        let url = format!("http://{}", world.block().public(gateway));
        let said = python("tool_loop.py", &[&url, MODEL, country]).await?;
        seen.push(format!("{country}: {said}"));
    }
    without_state(world).await?;
    Ok(seen.join("; "))
}

/// What only another server keeps is a clear error, and reaches no provider.
async fn without_state(world: &World) -> Result<()> {
    let asked = world.provider("claude").requests().len();
    for (field, value) in [
        ("previous_response_id", json!("resp_1")),
        ("conversation", json!("conv_1")),
    ] {
        let mut body = json!({ "model": MODEL, "input": "hi" });
        body[field] = value;
        let ask = world.ask("us-west-2").country("US").path("/v1/responses");
        let answer = ask.json(&body).send().await?;
        let error: Value = answer.json()["error"].clone();
        let fine = answer.status == 503
            && error["param"] == field
            && error["code"] == "previous_response_unavailable";
        ensure(fine, || format!("{}: {error}", answer.status))?;
    }
    let reached = world.provider("claude").requests().len();
    ensure(reached == asked, || "it reached the provider".into())
}
