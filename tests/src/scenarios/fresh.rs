//! Requests that need fresh data are served by regions that have it, and never outside of their zone.

use super::retrieval::lag;
use super::{ensure, refused};
use crate::world::{Answer, Ask, MODEL, REGIONS, World, wait_for};
use anyhow::Result;

fn ask(world: &World, region: &str, country: &str) -> Ask {
    let ask = world.ask(region).country(country);
    ask.header("x-meridian-needs", "fresh")
}

fn decision(answer: &Answer) -> &str {
    answer.header("x-meridian-decision")
}

/// From now on such requests are decided so.
async fn decided(
    world: &World,
    region: &str,
    country: &str,
    lane: &str,
    fresh: &str,
) -> Result<()> {
    let (lane, fresh) = (format!("lane={lane} "), format!(" fresh={fresh}"));
    wait_for(
        &format!("{country} at {region} to be {lane}{fresh}"),
        || async {
            let answer = ask(world, region, country).send().await?;
            let decision = decision(&answer);
            Ok(decision.starts_with(&lane) && decision.ends_with(&fresh))
        },
    )
    .await
}

pub async fn fresh(world: &mut World) -> Result<String> {
    decided(world, "us-west-2", "US", "home", "yes").await?;
    lag(world, "us-west-2", 31.0).await?;
    decided(world, "us-west-2", "US", "fresh", "yes").await?;
    let mut elsewhere = 0;
    for streamed in [false, true].repeat(10) {
        let ask = ask(world, "us-west-2", "US");
        let ask = if streamed { ask.streamed() } else { ask };
        let answer = ask.send().await?;
        let reached = world.reached(ask.marker());
        ensure(
            answer.status == 200 && !reached.contains(&"us-west-2".into()),
            || format!("{} by {reached:?}: {}", answer.status, decision(&answer)),
        )?;
        elsewhere += 1;
    }
    let told = world.pool("us-east-1").requests();
    let told = told
        .iter()
        .any(|request| request.header("x-meridian-needs") == Some("fresh"));
    ensure(told, || "its server is not told of the need".into())?;
    // The fresh region fails: the request is served with old data.
    world.pool("us-east-1").kill().await?;
    lag(world, "eu-west-1", 31.0).await?;
    let answer = ask(world, "us-west-2", "US").send().await?;
    ensure(answer.status == 200, || {
        format!("{}: {}", answer.status, answer.text())
    })?;
    world.pool("us-east-1").revive().await?;
    world.until_healthy().await?;
    // The EU has one region, which serves it.
    decided(world, "eu-west-1", "DE", "home", "no").await?;
    for _ in 0..10 {
        let ask = ask(world, "eu-west-1", "DE");
        let answer = ask.send().await?;
        let reached = world.reached(ask.marker());
        ensure(
            answer.region() == "eu-west-1" && reached == ["eu-west-1"],
            || format!("{} by {reached:?}", answer.status),
        )?;
    }
    lag(world, "us-east-1", 31.0).await?;
    decided_not(world).await?;
    for region in REGIONS {
        lag(world, region, 0.0).await?;
    }
    decided(world, "us-west-2", "US", "home", "yes").await?;
    by_another_header(world).await?;
    let ask = world.ask("us-west-2").country("US");
    let ask = ask.header("x-meridian-needs", "frech");
    refused(world, &ask, 400, "`fresh` is").await?;
    Ok(format!(
        "us-west-2 31 s behind: {elsewhere} of {elsewhere} such requests for {MODEL} by others, in the lane fresh; the EU behind: 10 of 10 at \
         home, which says fresh=no; all behind: the same; by another header as well; another need: 400"
    ))
}

/// A fleet may have another header for it.
async fn by_another_header(world: &World) -> Result<()> {
    let original = world.fleet_file()?;
    let named = "policy:\n  needs: { header: x-rag }\n";
    world.edit(&original.replacen("policy:\n", named, 1))?;
    wait_for("the other header", || async {
        let ask = world.ask("us-west-2").country("US");
        let answer = ask.header("x-rag", "fresh").send().await?;
        Ok(decision(&answer).ends_with(" fresh=yes"))
    })
    .await?;
    world.edit(&original)?;
    decided(world, "us-west-2", "US", "home", "yes").await
}

/// No region has fresh data: the decision says so.
async fn decided_not(world: &World) -> Result<()> {
    wait_for("nobody to be fresh", || async {
        let answer = ask(world, "us-west-2", "US").send().await?;
        Ok(answer.status == 200 && decision(&answer).ends_with(" fresh=no"))
    })
    .await
}
