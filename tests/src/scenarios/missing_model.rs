//! Servers of a pool do not have the model that the fleet file says they have.

use super::ensure;
use super::replay::{CHAT, MESSAGES, ask, cut, recorded};
use crate::fakes::{Behaviour, Replay};
use crate::world::{World, wait_for};
use anyhow::Result;
use meridian_planner::alarm::AlarmKind;

/// The next region is asked, an alarm says it, and what else is not found is the caller's.
pub async fn missing(world: &mut World) -> Result<String> {
    let home = world.pool("us-west-2");
    let replays = |pieces: Vec<Vec<u8>>| {
        home.update(|behaviour| {
            behaviour.replay = Some(Replay {
                pieces,
                stalls: false,
            });
        });
    };
    // Something else is missing.
    let no_response = b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: 93\r\nconnection: close\r\n\r\n\
        {\"error\":{\"message\":\"Response with id 'resp_1' not found.\",\"param\":\"response_id\",\"code\":404}}";
    replays(vec![no_response.to_vec()]);
    let other = ask(world, "/v1/responses", false);
    let answer = other.send().await?;
    ensure(
        answer.status == 404 && answer.text().contains("resp_1"),
        || format!("{}: {}", answer.status, answer.text()),
    )?;
    ensure(world.reached(other.marker()) == ["us-west-2"], || {
        "another region was asked for what the caller named".into()
    })?;
    let unknown = recorded("err.unknown_model", false)?;
    for (path, streamed, pieces) in [(CHAT, false, 1), (CHAT, true, 3), (MESSAGES, true, 5)] {
        replays(cut(&unknown.bytes, pieces, path));
        let ask = ask(world, path, streamed);
        let answer = ask.send().await?;
        let reached = world.reached(ask.marker());
        ensure(
            answer.status == 200 && reached == ["us-west-2", "us-east-1"],
            || format!("{path}: {} after {reached:?}", answer.status),
        )?;
    }
    wait_for("the alarm", || async {
        let alarms = world.report().await?.alarms;
        let mut missing = alarms
            .iter()
            .filter(|it| it.kind == AlarmKind::ModelMissing);
        Ok(missing.any(|alarm| alarm.region.as_str() == "us-west-2"))
    })
    .await?;
    home.set(Behaviour::default());
    Ok("a 404 of the model: by us-east-1, streamed or not, and an alarm; a 404 of a response's id: the caller's".into())
}
