//! Requests that continue an earlier answer by its id, which only the server that gave it knows.

use super::{answered_by, ensure};
use crate::fakes::Fail;
use crate::world::{Ask, MODEL, World, wait_for};
use anyhow::Result;
use serde_json::json;

fn follow_up(world: &World) -> Ask {
    let ask = world.ask("us-west-2").country("US").path("/v1/responses");
    let input = format!("tell me more about {}", ask.marker());
    ask.json(&json!({ "model": MODEL, "input": input, "previous_response_id": "resp_1" }))
}

/// They stay with the first region: no other one is asked in silence, and an outage is told as what it is.
pub async fn stay(world: &mut World) -> Result<String> {
    for _ in 0..20 {
        answered_by(world, &follow_up(world), "us-west-2").await?;
    }
    let home = world.pool("us-west-2");
    for fail in [Fail::Status(503), Fail::Reset] {
        home.update(|behaviour| behaviour.fail = fail);
        let ask = follow_up(world);
        let answer = ask.send().await?;
        let reached = world.reached(ask.marker());
        let says_why = answer.json()["error"]["code"] == "previous_response_unavailable";
        ensure(says_why && reached == ["us-west-2"], || {
            format!(
                "{fail:?}: {} by {reached:?}: {}",
                answer.status,
                answer.text()
            )
        })?;
        answered_by(world, &world.ask("us-west-2").country("US"), "us-east-1").await?;
    }
    home.kill().await?;
    let mut asked = 0;
    let gateway = world.gateway("us-west-2");
    wait_for("the gateway's policy to know that home is down", || async {
        let policy = gateway.admin("/config_dump").await?.replace('\\', "");
        Ok(policy.contains(r#""down":["us-west-2"]"#))
    })
    .await?;
    for _ in 0..20 {
        let ask = follow_up(world);
        let answer = ask.send().await?;
        asked += world.reached(ask.marker()).len();
        ensure(answer.status == 503, || answer.text())?;
    }
    ensure(asked == 0, || format!("{asked} were sent elsewhere"))?;
    answered_by(world, &world.ask("us-west-2").country("US"), "us-east-1").await?;
    Ok("with previous_response_id: by home alone, 503 in its outage; all others by the next region".into())
}
