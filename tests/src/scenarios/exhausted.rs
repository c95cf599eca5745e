//! Every region refuses.

use super::{answered_by, ensure};
use crate::fakes::Fail;
use crate::world::{Answer, REGIONS, World};
use anyhow::Result;

pub async fn exhausted(world: &mut World) -> Result<String> {
    for code in [429, 503] {
        for region in REGIONS {
            world.pool(region).update(|behaviour| {
                behaviour.fail = Fail::Status(code);
                behaviour.retry_after = Some(1);
            });
        }
        for (gateway, country, fallback) in [
            ("us-west-2", "US", "claude"),
            ("eu-west-1", "DE", "claude-eu"),
        ] {
            for streamed in [false, true] {
                let ask = world.ask(gateway).country(country);
                let ask = if streamed { ask.streamed() } else { ask };
                let ask = ask
                    .header("authorization", "Bearer the-callers-own")
                    .header("cookie", "session=the-callers-own")
                    .header("x-api-key", "the-callers-own")
                    .header("api-key", "the-callers-own")
                    .header("openai-organization", "the-callers-own")
                    .header("apikey", "the-callers-own")
                    .header("ocp-apim-subscription-key", "the-callers-own")
                    .header("token", "the-callers-own")
                    .header("baggage", "user.email=the-callers-own")
                    .header("forwarded", "for=192.0.2.1")
                    .header("referer", "https://the-callers-own.example")
                    .header("x-forwarded-for", "192.0.2.1");
                answered_by(world, &ask, &format!("fallback/{fallback}")).await?;
                ours_only(world, fallback)?;
            }
        }
    }
    let (global, eu) = (
        world.provider("claude").requests().len(),
        world.provider("claude-eu").requests().len(),
    );
    Ok(format!(
        "all pools at 429, then 503: {global} US requests by claude, {eu} EU requests by claude-eu, with our keys only"
    ))
}

/// An error of the fallback is not reported as the caller's error.
pub async fn fallback_fails(world: &mut World) -> Result<String> {
    for region in REGIONS {
        world
            .pool(region)
            .update(|behaviour| behaviour.fail = Fail::Status(503));
    }
    // An API that the provider does not have: nothing of it leaves.
    let asked = world.provider("claude").requests().len();
    let anthropic = world.ask("us-west-2").country("US").path("/v1/messages");
    let answer = anthropic.send().await?;
    ensure(
        answer.status == 503 && answer.header("retry-after") == "2",
        || format!("{}: {}", answer.status, answer.text()),
    )?;
    let no_fallback = answer.text().contains("no fallback for its API");
    ensure(no_fallback && answer.json()["type"] == "error", || {
        answer.text()
    })?;
    is_from(&answer, "")?;
    let reached = world.provider("claude").requests().len() - asked;
    ensure(reached == 0, || {
        "the provider was asked for an API that it does not have".into()
    })?;
    // Our key is refused, or the provider is full.
    let provider = world.provider("claude");
    for (code, status, says) in [
        (401, 502, "credential"),
        (403, 502, "credential"),
        (429, 429, "error"),
        (503, 503, "error"),
    ] {
        provider.update(|behaviour| behaviour.fail = Fail::Status(code));
        let answer = world.ask("us-west-2").country("US").send().await?;
        ensure(
            answer.status == status && answer.text().contains(says),
            || format!("{code}: {} {}", answer.status, answer.text()),
        )?;
        ensure(!answer.text().contains("our-key-of"), || answer.text())?;
        is_from(&answer, "fallback/claude")?;
        let retry_after = answer.header("retry-after");
        ensure(status == 502 || retry_after == "2", || {
            format!("{code}: retry-after `{retry_after}`")
        })?;
    }
    // Nobody answers: the provider accepts no connection.
    world.provider("claude").kill().await?;
    for _ in 0..3 {
        let answer = world.ask("us-west-2").country("US").send().await?;
        ensure(answer.status == 503, || answer.text())?;
        is_from(&answer, "")?;
    }
    Ok("no fallback for /v1/messages: 503; our key refused: 502; the provider full: 429 or 503 with Retry-After; away: 503, and from no region".into())
}

/// The answer says that it is from this region or fallback; empty: from nobody.
fn is_from(answer: &Answer, expect: &str) -> Result<()> {
    ensure(answer.region() == expect, || {
        let (region, text) = (answer.region(), answer.text());
        format!("from `{region}` instead of `{expect}`: {text}")
    })
}

/// The provider saw our key and nothing of the caller but the request.
fn ours_only(world: &World, fallback: &str) -> Result<()> {
    for request in world.provider(fallback).requests() {
        let key = format!("Bearer our-key-of-{fallback}");
        ensure(request.header("authorization") == Some(&key), || {
            format!("authorization: {:?}", request.header("authorization"))
        })?;
        let known = [
            "host",
            "content-type",
            "accept",
            "content-length",
            "authorization",
            "transfer-encoding",
            "user-agent",
            "x-forwarded-proto",
        ];
        for (name, value) in &request.headers {
            ensure(known.contains(&name.as_str()), || {
                format!("the provider was told {name}: {value}")
            })?;
            ensure(!value.contains("the-callers-own"), || {
                format!("the provider was told {name}: {value}")
            })?;
        }
    }
    Ok(())
}
