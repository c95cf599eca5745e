//! Claude as the fallback: in the API that the caller uses, within the same request.

use super::client::{python, run_from};
use super::{answered_by, ensure};
use crate::fakes::Fail;
use crate::world::{
    Answer, Ask, CLAUDE, MODEL, PROFILE, REGIONS, World, api_key, wait_for, write_sds,
};
use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Every region's pool fails like this.
fn regions(world: &World, fail: Fail) {
    for region in REGIONS {
        world.pool(region).update(|behaviour| behaviour.fail = fail);
    }
}

/// The official clients, with nothing but Claude left.
pub async fn clients(world: &mut World) -> Result<String> {
    let url = |name| format!("http://{}", world.block().provider(name));
    for (scenario, name) in [("api", "claude"), ("vertex", "claude-eu")] {
        let fake = [scenario, &url(name), &api_key(name), CLAUDE];
        python("anthropic_client.py", &fake).await?;
    }
    regions(world, Fail::Status(503));
    let mut seen = from(world, "US", "us-west-2").await?;
    let before = world.provider("claude").requests().len();
    seen.extend(from(world, "DE", "eu-west-1").await?);
    key_refused(world).await?;
    in_the_eu(world, before).await?;
    Ok(seen.join("; "))
}

/// The same with Bedrock in the EU: other paths, frames instead of events, errors of AWS's.
pub async fn bedrock(world: &mut World) -> Result<String> {
    let fake = format!("http://{}", world.block().provider("claude-eu"));
    let key = api_key("claude-eu");
    python("anthropic_client.py", &["bedrock", &fake, &key, PROFILE]).await?;
    regions(world, Fail::Status(503));
    let seen = from(world, "DE", "eu-west-1").await?;
    key_refused(world).await?;
    in_the_eu(world, 0).await?;
    Ok(seen.join("; "))
}

/// The official clients as callers from a country, of a gateway whose regions all fail.
async fn from(world: &World, country: &str, gateway: &str) -> Result<Vec<String>> {
    let public = world.block().public(gateway).to_string();
    let run = |scenario| run_from(country, scenario, &public);
    let claude = world.provider(if country == "DE" {
        "claude-eu"
    } else {
        "claude"
    });
    let url = format!("http://{public}");
    let native = ["native", &url, "the-callers-own", MODEL, country];
    let mut seen = vec![
        run("claude").await?,
        python("anthropic_client.py", &native).await?,
    ];
    claude.update(|behaviour| {
        behaviour.fail = Fail::Status(429);
        behaviour.retry_after = Some(7);
    });
    seen.push(run("limited").await?);
    claude.update(|behaviour| behaviour.fail = Fail::Status(503));
    seen.push(run("exhausted").await?);
    for fail in [Fail::Cut(3), Fail::ErrorEvent(3)] {
        claude.update(|behaviour| {
            behaviour.fail = fail;
            // What was sent just before a reset is lost.
            behaviour.token_ms = 50;
        });
        seen.push(run("breaks").await?);
    }
    Ok(seen)
}

/// The provider refuses our key: callers of either API get an error in the shape of their own API.
async fn key_refused(world: &World) -> Result<()> {
    world
        .provider("claude-eu")
        .update(|behaviour| behaviour.fail = Fail::Status(403));
    let ask = || world.ask("eu-west-1").country("DE");
    for (ask, shape) in [
        (ask(), "server_error"),
        (ask().streamed(), "server_error"),
        (ask().messages(false), "api_error"),
        (ask().messages(true), "api_error"),
    ] {
        let answer = ask.send().await?;
        let error = &answer.json()["error"];
        let says = error["message"].to_string();
        let fine = answer.status == 502 && error["type"] == shape;
        ensure(
            fine && says.contains("refused the gateway's credential"),
            || format!("{}: {}", answer.status, answer.text()),
        )?;
    }
    Ok(())
}

/// With the EU's fallback down as well its callers get 503, and the global one has still not been asked for any of them.
async fn in_the_eu(world: &World, asked: usize) -> Result<()> {
    let eu = world.provider("claude-eu");
    for fail in [Fail::Status(503), Fail::Reset] {
        eu.update(|behaviour| behaviour.fail = fail);
        let ask = || world.ask("eu-west-1").country("DE");
        for ask in [ask(), ask().streamed(), ask().messages(true)] {
            let native = ask.is_messages();
            let answer = ask.send().await?;
            let said = answer.json();
            let shape = (said["type"] == "error") == native;
            let says = said["error"]["message"].as_str().unwrap_or_default();
            ensure(answer.status == 503 && shape && !says.is_empty(), || {
                format!("{fail:?}: {} {}", answer.status, answer.text())
            })?;
        }
    }
    let reached = world.provider("claude").requests().len();
    ensure(reached == asked, || {
        "something of an EU caller reached the global fallback".into()
    })
}

/// All pools die on the attempt: one clean answer, and the caller's key stays here.
pub async fn midway(world: &mut World) -> Result<String> {
    let mut asked = 0;
    for fail in [
        Fail::Reset,
        Fail::Status(500),
        Fail::Abort,
        Fail::ErrorEvent(0),
    ] {
        regions(world, fail);
        for (streamed, gateway, country, fallback) in [
            (false, "us-west-2", "US", "fallback/claude"),
            (true, "us-west-2", "US", "fallback/claude"),
            (false, "eu-west-1", "DE", "fallback/claude-eu"),
            (true, "eu-west-1", "DE", "fallback/claude-eu"),
        ] {
            let ask = world
                .ask(gateway)
                .country(country)
                .header("authorization", "Bearer the-callers-own")
                .header("cookie", "the-callers-own");
            let ask = if streamed { ask.streamed() } else { ask };
            let answer = answered_by(world, &ask, fallback).await?;
            let text = answer.text();
            ensure(
                text.contains("token7")
                    && text.contains(CLAUDE)
                    && text.contains("\"finish_reason\":\"stop\""),
                || format!("{fail:?}: {text}"),
            )?;
            asked += 1;
        }
        world.heal().await?;
        regions(world, Fail::None);
    }
    Ok(format!(
        "{asked} requests whose regions all failed midway: Claude's answer to each, in OpenAI's words"
    ))
}

/// A key that runs out is replaced by another while the gateways run: Google's tokens live for an hour.
pub async fn keys(world: &mut World) -> Result<String> {
    regions(world, Fail::Status(503));
    let ask = || world.ask("eu-west-1").country("DE");
    answered_by(world, &ask(), "fallback/claude-eu").await?;
    let mut seen = Vec::new();
    for (key, status) in [("run out".to_owned(), 502), (api_key("claude-eu"), 200)] {
        write_sds(world.dir(), "claude-eu", &key)?;
        wait_for(&format!("{status}"), || async {
            Ok(ask().send().await?.status == status)
        })
        .await?;
        seen.push(status.to_string());
    }
    Ok(format!(
        "another key in the place of the one before, as Kubernetes does it, first a wrong one: {}; no restart",
        seen.join(", then ")
    ))
}

/// The provider is asked once for one request, whether it refuses or is slow, and whether the regions fail or are known to be down.
/// Its Retry-After is passed on.
pub async fn once(world: &mut World) -> Result<String> {
    let claude = world.provider("claude");
    for down in [false, true] {
        for region in REGIONS {
            if down {
                world.pool(region).kill().await?;
            }
        }
        if down {
            let gateway = world.gateway("us-west-2");
            wait_for("every region to be known as down", || async {
                Ok(gateway.unhealthy().await?.len() >= REGIONS.len())
            })
            .await?;
        } else {
            regions(world, Fail::Status(503));
        }
        for (fail, first_token_ms, expect) in [
            (Fail::Status(429), 0, (429, "7")),
            (Fail::Status(529), 0, (503, "7")),
            (Fail::Status(500), 0, (500, "7")),
            // Past the limit of 1 s the next member is asked as well, and here there is none.
            (Fail::None, 4500, (200, "")),
        ] {
            claude.update(|behaviour| {
                behaviour.fail = fail;
                behaviour.retry_after = Some(7);
                behaviour.first_token_ms = first_token_ms;
            });
            for streamed in [false, true] {
                let ask = world.ask("us-west-2").country("US");
                let ask = if streamed { ask.streamed() } else { ask };
                let answer = ask.send().await?;
                let seen = (answer.status, answer.header("retry-after"));
                ensure(seen == expect, || {
                    format!("{fail:?}: {seen:?} {}", answer.text())
                })?;
                let reached = world.reached(ask.marker());
                let asked = reached.iter().filter(|server| *server == "claude").count();
                ensure(asked == 1, || format!("{fail:?}: {reached:?}"))?;
                let ours = answer.headers.contains_key("x-envoy-ratelimited");
                ensure(!ours, || "our own header went to the caller".into())?;
            }
        }
    }
    Ok("429, 529, 500 and 4.5 s of silence, with the regions failing or known to be down: Claude is asked once each, and \
        its Retry-After is passed on"
        .into())
}

/// An answer that was made outside its jurisdiction, as it says itself, reaches its caller, and raises an alarm.
pub async fn geo(world: &mut World) -> Result<String> {
    regions(world, Fail::Status(503));
    let eu = world.provider("claude-eu");
    let gateway = world.gateway("eu-west-1");
    let violations = async || gateway.metric("meridian_misplaced", &[]).await;
    let before = violations().await?;
    let ask = || world.ask("eu-west-1").country("DE");
    answered_by(world, &ask(), "fallback/claude-eu").await?;
    ensure(violations().await? == before, || {
        "an answer that does not say where it was made is counted".into()
    })?;
    eu.update(|behaviour| behaviour.inference_geo = Some("us".into()));
    for ask in [
        ask(),
        ask().streamed(),
        ask().messages(false),
        ask().messages(true),
    ] {
        answered_by(world, &ask, "fallback/claude-eu").await?;
    }
    wait_for("four of them to be counted", || async {
        Ok(violations().await? == before + 4)
    })
    .await?;
    let log = std::fs::read_to_string(world.dir().join("eu-west-1.log"))?;
    let told = log.lines().filter(|line| {
        let id = line.split("meridian: request ").nth(1);
        // An id of Envoy's.
        id.is_some_and(|id| id.split(':').next().is_some_and(|id| id.len() == 36))
            && line.contains("says that its answer was made in \"us\"")
    });
    let told = told.count();
    ensure(told == 4, || {
        format!("the gateway's log names {told} of 4 requests")
    })?;
    wait_for("the alarm", || async {
        Ok(world
            .status()
            .await?
            .contains("made 4 answers outside of its jurisdiction"))
    })
    .await?;
    Ok("an EU fallback says `inference_geo: us` in 4 answers: counted, logged, and an alarm in `meridian status`".into())
}

/// The price of a fake's answer, of 3 tokens to read, 4 from a cache and 8 to write: 141 millionths of a dollar. One that is under
/// way counts with 4096 tokens to write, 61.4 thousandths.
pub const BUDGET: &str = ", price: { input: 3, output: 15 }, budget: { max_requests_per_minute: 36, max_usd_per_hour: 0.6 }";

/// A caller whom only the fallback can serve.
fn us(world: &World) -> Ask {
    world.ask("us-west-2").country("US")
}

/// Requests that us-west-2's gateway has refused because a budget is spent.
async fn over_budget(world: &World, what: &str) -> Result<u64> {
    let gateway = world.gateway("us-west-2");
    gateway
        .metric("meridian_over_budget", &[("what", what)])
        .await
}

/// A fallback costs no more than its budget, and refused callers get a Retry-After.
pub async fn budget(world: &mut World) -> Result<String> {
    regions(world, Fail::Status(503));
    dollars(world).await?;
    never_seen(world).await?;
    let seconds = requests_a_minute(world).await?;
    Ok(format!(
        "the 13th request of a gateway's 12 a minute: 503, again after {seconds} s; with three under way that may cost 0.184 $ of its \
         0.2 $ an hour the next two: 503; settled at 141 millionths of a dollar each, they leave room"
    ))
}

/// Three requests of 61.4 thousandths are less than a third of 0.6 $; a fourth could cost more than what is left. What they have
/// cost in the end leaves room.
async fn dollars(world: &World) -> Result<()> {
    let claude = world.provider("claude");
    claude.update(|behaviour| behaviour.first_token_ms = 3000);
    let mut under_way = JoinSet::new();
    for ask in [us(world), us(world), us(world)] {
        under_way.spawn(async move { ask.send().await });
    }
    wait_for("three to be under way", || async {
        Ok(claude.running() == 3)
    })
    .await?;
    for ask in [us(world), us(world).messages(true)] {
        let answer = ask.send().await?;
        let seconds: u64 = answer.header("retry-after").parse()?;
        let message = answer.json()["error"]["message"].to_string();
        let fine = answer.status == 503 && (3540..=3660).contains(&seconds);
        ensure(
            fine && message.contains("the budget of the fallback is spent"),
            || format!("{} {seconds}: {message}", answer.status),
        )?;
        let reached = world.reached(ask.marker());
        ensure(!reached.contains(&"claude".into()), || {
            "what is over the budget reached the provider".into()
        })?;
    }
    let answers = under_way.join_all().await;
    let answers: Vec<Answer> = answers.into_iter().collect::<Result<_>>()?;
    ensure(answers.iter().all(|answer| answer.status == 200), || {
        format!("{:?}", answers.iter().map(Answer::text).collect::<Vec<_>>())
    })?;
    ensure(over_budget(world, "usd").await? == 2, || {
        "the metric says nothing".into()
    })?;
    claude.update(|behaviour| behaviour.first_token_ms = 0);
    for ask in [
        us(world),
        us(world).streamed(),
        us(world).messages(false),
        us(world).messages(true),
    ] {
        answered_by(world, &ask, "fallback/claude").await?;
    }
    let west = world.gateway("us-west-2");
    let spent = "meridian_spent_microusd";
    wait_for("seven answers of 141 to be counted", || async {
        Ok(west.metric(spent, &[]).await? == 7 * 141)
    })
    .await
}

/// Requests that the provider never saw count for nothing.
async fn never_seen(world: &World) -> Result<()> {
    let claude = world.provider("claude");
    claude.kill().await?;
    let asks = [us(world), us(world).messages(false)];
    for ask in asks.into_iter().cycle().take(20) {
        let answer = ask.send().await?;
        let body = answer.json();
        let message = body["error"]["message"].to_string();
        ensure(answer.status == 503 && !message.contains("budget"), || {
            format!("{}: {body}", answer.status)
        })?;
    }
    claude.revive().await?;
    wait_for("the provider to be back", || async {
        Ok(us(world).send().await?.status == 200)
    })
    .await
}

/// A third of 36 requests a minute is 12; the other gateways have theirs. When the 13th is to come again, in seconds.
async fn requests_a_minute(world: &World) -> Result<u64> {
    for _ in 8..12 {
        answered_by(world, &us(world), "fallback/claude").await?;
    }
    let answer = us(world).send().await?;
    let seconds: u64 = answer.header("retry-after").parse()?;
    ensure(answer.status == 503 && (1..=61).contains(&seconds), || {
        format!("{} {seconds}: {}", answer.status, answer.text())
    })?;
    ensure(over_budget(world, "requests").await? == 1, || {
        "the metric says nothing".into()
    })?;
    ensure(world.provider("claude").requests().len() == 12, || {
        "more than the budget went out".into()
    })?;
    for (gateway, country, fallback) in [
        ("us-east-1", "US", "fallback/claude"),
        ("eu-west-1", "DE", "fallback/claude-eu"),
    ] {
        answered_by(world, &world.ask(gateway).country(country), fallback).await?;
    }
    Ok(seconds)
}

/// A provider that cannot be reached is not tried for every request, and is used again soon after it is back.
pub async fn away(world: &mut World) -> Result<String> {
    regions(world, Fail::Status(503));
    let (claude, gateway) = (world.provider("claude"), world.gateway("us-west-2"));
    claude.kill().await?;
    let failed = async || {
        gateway
            .counter("^cluster.provider_claude.upstream_cx_connect_fail$")
            .await
    };
    let before = failed().await?;
    let ask = || world.ask("us-west-2").country("US");
    for _ in 0..40 {
        let answer = ask().send().await?;
        ensure(answer.status == 503, || {
            format!("{}: {}", answer.status, answer.text())
        })?;
    }
    let knocked = failed().await? - before;
    ensure((5..=20).contains(&knocked), || {
        format!("40 requests knocked at it {knocked} times")
    })?;
    claude.revive().await?;
    let since = Instant::now();
    wait_for("it to be back", || async {
        Ok(ask().send().await?.status == 200)
    })
    .await?;
    Ok(format!(
        "40 requests while it refused connections knocked {knocked} times; back {:.1} s after it was",
        since.elapsed().as_secs_f64()
    ))
}
