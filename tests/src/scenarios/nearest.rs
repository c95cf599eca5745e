//! Callers are served by the region whose gateway they reach.

use super::{answered_by, ensure};
use crate::world::{Ask, World, client};
use anyhow::Result;

pub async fn nearest(world: &mut World) -> Result<String> {
    let ask = world.ask("us-west-2").country("US");
    let answer = answered_by(world, &ask, "us-west-2").await?;
    let decision = answer.header("x-meridian-decision").to_owned();
    ensure(
        decision.starts_with("lane=home zone=global by=cf-ipcountry"),
        || format!("decision: {decision}"),
    )?;
    ensure(answer.header("x-envoy-attempt-count") == "1", || {
        "more than one attempt".into()
    })?;
    answered_by(world, &world.ask("eu-west-1").country("DE"), "eu-west-1").await?;
    answered_by(world, &world.ask("us-east-1").country("CA"), "us-east-1").await?;
    // An unpinned caller who is routed to the EU is served there.
    answered_by(world, &world.ask("eu-west-1").country("JP"), "eu-west-1").await?;
    let ready = world.ask("us-west-2").get("/healthz").send().await?;
    ensure(ready.status == 200, || {
        format!("/healthz answers {}", ready.status)
    })?;
    Ok("US caller: us-west-2; DE caller: eu-west-1".into())
}

/// The same over TLS, HTTP/2 by ALPN.
pub async fn tls(world: &mut World) -> Result<String> {
    let ca = reqwest::Certificate::from_pem(&std::fs::read(world.certificates().ca())?)?;
    let client = client().tls_certs_only([ca]).build()?;
    let secure =
        |ask: Ask| ask.gateway_at(&format!("https://{}", world.block().public("eu-west-1")));
    let ask = secure(world.ask("eu-west-1").country("DE"));
    let response = ask.open_with(&client).await?;
    ensure(response.version() == reqwest::Version::HTTP_2, || {
        format!("{:?}", response.version())
    })?;
    ensure(response.status() == 200, || response.status().to_string())?;
    ensure(world.reached(ask.marker()) == ["eu-west-1"], || {
        "nobody recorded it".into()
    })?;
    // The 421 names the URL as callers write it.
    let misdirected = world.ask("us-west-2").country("DE");
    let misdirected =
        misdirected.gateway_at(&format!("https://{}", world.block().public("us-west-2")));
    let answer = misdirected.send_with(&client).await?;
    let right = format!("https://{}", world.block().public("eu-west-1"));
    ensure(
        answer.status == 421 && answer.text().contains(&right),
        || answer.text(),
    )?;
    Ok("HTTP/2 over TLS to eu-west-1".into())
}
