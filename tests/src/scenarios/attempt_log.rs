//! The access log tells every attempt of a request: whom it was at, why it was left, and when.

use super::ensure;
use super::replay::{CHAT, ask};
use crate::fakes::{Behaviour, Fail};
use crate::world::{Answer, World, wait_for};
use anyhow::{Context, Result};
use serde_json::Value;

/// A hedge and a failure, then a server that accepts no connection.
pub async fn attempts(world: &mut World) -> Result<String> {
    let well = ask(world, CHAT, true).send().await?;
    let line = logged(world, &well).await?;
    ensure(line["attempt_log"].is_null(), || {
        format!("the only attempt is in the log: {line}")
    })?;
    let hedged = hedged(world).await?;
    let refused = refused(world).await?;
    Ok(format!("{hedged}, then {refused}"))
}

/// Home hangs, the next region answers 503 beside it, and the one after that answers.
async fn hedged(world: &World) -> Result<String> {
    let pool = |region, fail| {
        world.pool(region).set(Behaviour {
            fail,
            ..Behaviour::default()
        });
    };
    pool("us-west-2", Fail::Hang);
    pool("us-east-1", Fail::Status(503));
    let answer = ask(world, CHAT, true).send().await?;
    ensure(answer.region() == "eu-west-1", || answer.text())?;
    let line = logged(world, &answer).await?;
    let attempts = attempts_of(&line);
    let [home, next, last] = &attempts[..] else {
        anyhow::bail!("not three attempts: {line}")
    };
    let home_server = world.block().pool("us-west-2").to_string();
    let peer = |region| world.block().peer(region).to_string();
    for (attempt, member, address, end) in [
        (home, "us-west-2", home_server, "first_token"),
        (next, "us-east-1", peer("us-east-1"), "503"),
        (last, "eu-west-1", peer("eu-west-1"), "answered"),
    ] {
        let expect = [member, &address, end];
        ensure(attempt.len() == 4 && attempt[..3] == expect, || {
            format!("{attempt:?} is not {expect:?}: {line}")
        })?;
    }
    let times: Vec<u64> = attempts
        .iter()
        .filter_map(|it| it[3].parse().ok())
        .collect();
    ensure(times.len() == 3 && times[0] >= 1000, || {
        format!("{times:?}: the limit is 1 s")
    })?;
    pool("us-west-2", Fail::None);
    pool("us-east-1", Fail::None);
    Ok(line["attempt_log"].as_str().unwrap_or_default().to_owned())
}

/// Home accepts no connection, and the next region answers.
async fn refused(world: &World) -> Result<String> {
    world.pool("us-west-2").kill().await?;
    let answer = ask(world, CHAT, true).send().await?;
    let line = logged(world, &answer).await?;
    let attempts = attempts_of(&line);
    let ends: Vec<(&str, &str)> = attempts.iter().map(|it| (it[0], it[2])).collect();
    ensure(
        ends == [("us-west-2", "connect"), ("us-east-1", "answered")],
        || format!("{ends:?}: {line}"),
    )?;
    Ok(line["attempt_log"].as_str().unwrap_or_default().to_owned())
}

/// The line of an answer in the log of us-west-2's gateway.
pub(super) async fn logged(world: &World, answer: &Answer) -> Result<Value> {
    let (id, log) = (answer.header("x-request-id"), world.access_log("us-west-2"));
    let line = || -> Result<Option<Value>> {
        let log = std::fs::read_to_string(&log)?;
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let mut lines = lines.filter(|line: &Value| line["listener"] == "public");
        Ok(lines.find(|line| line["request_id"] == id))
    };
    wait_for("the access log", || async { Ok(line()?.is_some()) }).await?;
    line()?.context("the line is gone")
}

/// The attempts of a line: member, address, end, milliseconds.
pub(super) fn attempts_of(line: &Value) -> Vec<Vec<&str>> {
    let text = line["attempt_log"].as_str().unwrap_or_default();
    let attempts = text.split("; ").filter(|attempt| !attempt.is_empty());
    attempts
        .map(|attempt| attempt.split(' ').collect())
        .collect()
}
