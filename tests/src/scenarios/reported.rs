//! What gateways report of requests to the control plane. The judge is the gateways' access log.

use super::ensure;
use super::operators::done;
use crate::world::{Answer, Ask, MODEL, World, client, wait_for};
use anyhow::{Context, Result, anyhow};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What a caller sends and nobody else may have.
const SECRET: &str = "s3cret-of-a-caller";

/// Refusals in a row. Two workers report at most 100 of them at once, and ten a second.
const FLOOD: usize = 2000;

/// A gateway sends what it has each second.
const TWO_FLUSHES: Duration = Duration::from_secs(2);

/// Refusals, failovers and answers of a fallback are reported as they are in the access log, with nothing that a caller has sent.
pub async fn reported(world: &mut World) -> Result<String> {
    let mut sent = vec![ask(world, "US"), ask(world, "US"), ask(world, "DE")];
    let plain = send(&sent).await?;
    world.pool("us-west-2").kill().await?;
    sent = vec![ask(world, "US"), ask(world, "US").streamed()];
    let failed_over = send(&sent).await?;
    for region in ["us-east-1", "eu-west-1"] {
        world.pool(region).kill().await?;
    }
    sent = vec![ask(world, "US")];
    let by_fallback = send(&sent).await?;
    world.heal().await?;
    let answers: Vec<Answer> = [plain, failed_over, by_fallback]
        .into_iter()
        .flatten()
        .collect();
    let compared = as_logged(world, &answers).await?;
    let told = explained(world, &answers[3]).await?;
    let longest = without_control_plane(world).await?;
    let flood = flooded(world).await?;
    Ok(format!(
        "{compared} requests as in the access log ({told}); 60 while the control plane hung, the longest {longest} ms; {flood}"
    ))
}

/// A chat with secrets wherever a caller can put some.
fn ask(world: &World, country: &str) -> Ask {
    let ask = world.ask("us-west-2").country(country);
    let content = format!("{} {SECRET}", ask.marker());
    let message = json!({ "role": "user", "content": content });
    ask.json(&json!({ "model": MODEL, "messages": [message], "user": SECRET }))
        .path(&format!("/v1/chat/completions?key={SECRET}"))
        .header("authorization", format!("Bearer {SECRET}"))
        .header("user-agent", SECRET)
        .header("x-meridian-session", SECRET)
        .header("x-meridian-report", "untold")
}

async fn send(asks: &[Ask]) -> Result<Vec<Answer>> {
    let answers = stream::iter(asks).then(Ask::send);
    answers.try_collect().await
}

/// What the control plane has of a gateway's requests.
async fn reports(world: &World, query: &str) -> Result<Vec<Value>> {
    let status = world.block().status();
    let url = format!("http://{status}/v1/decisions?{query}");
    let found: Value = client().build()?.get(url).send().await?.json().await?;
    let text = found.to_string();
    ensure(!text.contains(SECRET), || {
        format!("a report has what a caller has sent: {text}")
    })?;
    let decisions = found["decisions"].as_array().context("no decisions")?;
    Ok(decisions.clone())
}

async fn report(world: &World, id: &str) -> Result<Value> {
    let query = format!("request_id={id}");
    wait_for("the report", || async {
        Ok(!reports(world, &query).await?.is_empty())
    })
    .await?;
    Ok(reports(world, &query).await?[0].clone())
}

/// Every answer is reported as its line in the access log says. All of them are: the first ones of a gateway, and those that are notable.
async fn as_logged(world: &World, answers: &[Answer]) -> Result<usize> {
    for answer in answers {
        let line = super::attempt_log::logged(world, answer).await?;
        let report = report(world, answer.header("x-request-id")).await?;
        let mut wrong = Vec::new();
        for field in [
            "decision",
            "gateway",
            "status",
            "region",
            "bytes_in",
            "bytes_out",
        ] {
            if report[field] != line[field] {
                wrong.push(field);
            }
        }
        let log = line["attempt_log"].as_str().unwrap_or_default();
        let attempts = report["attempts"].as_array().map_or(0, Vec::len);
        let logged = log.split("; ").filter(|attempt| !attempt.is_empty());
        let is_refused = line["decision"].to_string().contains("refused=");
        let expected = match logged.count() {
            0 if is_refused => 0,
            0 => 1,
            count => count,
        };
        let outcome = if is_refused { "refused" } else { "answered" };
        ensure(
            wrong.is_empty() && attempts == expected && report["outcome"] == outcome,
            || format!("{wrong:?} of {report:#}\nare other than in {line:#}"),
        )?;
    }
    let plain = report(world, answers[0].header("x-request-id")).await?;
    ensure(plain["tokens"]["completion"].as_u64() > Some(0), || {
        format!("no tokens: {plain:#}")
    })?;
    Ok(answers.len())
}

/// The command says of a request that failed over why each server was left.
async fn explained(world: &mut World, answer: &Answer) -> Result<String> {
    let id = answer.header("x-request-id").to_owned();
    let text = done(world, &["explain", "--request-id", &id]).await?;
    for said in [
        "zone      global, told by",
        "1. us-west-2",
        "connect",
        "2. us-east-1",
        "answered",
        "outcome   answered with 200 by us-east-1",
    ] {
        ensure(text.contains(said), || format!("no `{said}` in {text}"))?;
    }
    let listed = [
        "explain",
        "--last-requests",
        "10",
        "--outcome",
        "refused",
        "--gateway",
        "us-west-2",
    ];
    let listed = done(world, &listed).await?;
    ensure(listed.contains("refused 421 misdirected"), || {
        listed.clone()
    })?;
    Ok("us-west-2 connect, us-east-1 answered".to_owned())
}

/// While the control plane hangs nothing waits for it, and afterwards reports come again.
async fn without_control_plane(world: &mut World) -> Result<u128> {
    world.control_plane()?.freeze().await?;
    let mut longest = 0;
    let client = client().build()?;
    for _ in 0..60 {
        let begun = Instant::now();
        let answer = world
            .ask("us-west-2")
            .country("DE")
            .send_with(&client)
            .await?;
        longest = longest.max(begun.elapsed().as_millis());
        ensure(answer.status == 421, || answer.text())?;
    }
    world.control_plane()?.thaw().await?;
    ensure(longest < 1000, || {
        format!("one request waited {longest} ms")
    })?;
    let answer = world.ask("us-west-2").country("DE").send().await?;
    report(world, answer.header("x-request-id")).await?;
    Ok(longest)
}

/// Of a flood of refusals some are reported, and none of another gateway is lost to them.
async fn flooded(world: &World) -> Result<String> {
    let eu = world.ask("eu-west-1").country("US").path("/nowhere");
    let eu = eu.send().await?;
    report(world, eu.header("x-request-id")).await?;
    let begun = Instant::now();
    let client = client().build()?;
    let flood = stream::iter(0..FLOOD)
        .map(|_| async {
            world
                .ask("us-west-2")
                .path("/nowhere")
                .send_with(&client)
                .await
        })
        .buffer_unordered(16);
    let statuses: Vec<u16> = flood.map_ok(|answer| answer.status).try_collect().await?;
    ensure(statuses.iter().all(|status| *status == 404), || {
        format!("{statuses:?}")
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let last = "last=1000&gateway=us-west-2&outcome=refused";
    let seen = Mutex::new((0, Instant::now()));
    wait_for("the last reports", || async {
        let count = reports(world, last).await?.len();
        let (before, since) = *seen.lock().map_err(|error| anyhow!("{error}"))?;
        if count != before {
            *seen.lock().map_err(|error| anyhow!("{error}"))? = (count, Instant::now());
        }
        Ok(count == before && since.elapsed() > TWO_FLUSHES)
    })
    .await?;
    let (told, _) = *seen.lock().map_err(|error| anyhow!("{error}"))?;
    let most = 2.0 * (100.0 + 10.0 + 10.0 * (seconds + 10.0)) + 80.0;
    ensure(told >= 100 && (told as f64) < most, || {
        format!("{told} of {FLOOD} in {seconds:.1} s are reported")
    })?;
    report(world, eu.header("x-request-id")).await?;
    Ok(format!(
        "of {FLOOD} refusals in {seconds:.1} s {told} are reported"
    ))
}
