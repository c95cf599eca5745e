//! Every region is full.

use super::{answered_by, ensure};
use crate::fakes::Fail;
use crate::world::{REGIONS, World};
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
