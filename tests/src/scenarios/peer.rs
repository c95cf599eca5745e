//! The peer listener takes other gateways' requests for zones that belong there, and nothing else.

use super::ensure;
use crate::world::certificates::{FORGED, STRANGER};
use crate::world::{Ask, MODEL, PARTIAL_MODEL, World, client};
use anyhow::Result;
use reqwest::Client;

/// Where a region's peer listener is.
fn at(world: &World, region: &str) -> String {
    format!("https://{}", world.block().peer(region))
}

/// A request to a region's peer listener, decided under the definition of a zone.
fn ask(world: &World, region: &str, zone: &str) -> Result<Ask> {
    Ok(decided_under(world, region, &world.definition(zone)?))
}

fn decided_under(world: &World, region: &str, definition: &str) -> Ask {
    let ask = world.ask(region).gateway_at(&at(world, region));
    ask.header("x-meridian-definition", definition)
        .header("x-meridian-model", MODEL)
}

pub async fn peer(world: &mut World) -> Result<String> {
    // Connections that never come to be.
    for identity in [None, Some(STRANGER), Some(FORGED)] {
        let answer = ask(world, "eu-west-1", "global")?
            .open_with(&as_gateway(world, identity)?)
            .await;
        ensure(answer.is_err(), || {
            format!("{identity:?} was let in: {answer:?}")
        })?;
    }
    let west = as_gateway(world, Some("us-west-2"))?;
    let east = as_gateway(world, Some("us-east-1"))?;
    let denied = denied(world, &west, &east).await?;
    let fine = ask(world, "eu-west-1", "global")?;
    let answer = fine.send_with(&west).await?;
    ensure(
        answer.status == 200 && world.reached(fine.marker()) == ["eu-west-1"],
        || answer.text(),
    )?;
    let beside = beside_inference(world, &west).await?;
    never_forwarded(world, &west, &east).await?;
    Ok(format!(
        "no certificate, a stranger's, a forged one: no connection; {denied} wrong requests: 403; {beside} paths beside inference: 404; nothing forwarded"
    ))
}

/// What a gateway that may connect must not bring; how many kinds there are.
async fn denied(world: &World, west: &Client, east: &Client) -> Result<usize> {
    let without_zone = world
        .ask("eu-west-1")
        .gateway_at(&at(world, "eu-west-1"))
        .header("x-meridian-model", MODEL);
    let denied = [
        (
            "a pinned zone that does not belong here",
            ask(world, "us-east-1", "eea")?,
            west,
        ),
        (
            "a pinned zone from a gateway that must not have it",
            ask(world, "eu-west-1", "eea")?,
            west,
        ),
        ("no zone", without_zone, east),
        ("an unknown zone", ask(world, "eu-west-1", "mars")?, east),
        (
            "another definition of a zone that belongs here",
            decided_under(world, "eu-west-1", "global@0000000000000000"),
            east,
        ),
        (
            "a zone without a definition",
            decided_under(world, "eu-west-1", "global"),
            east,
        ),
        (
            "two zones",
            ask(world, "eu-west-1", "global")?
                .header("x-meridian-definition", &world.definition("eea")?),
            east,
        ),
    ];
    for (what, ask, identity) in &denied {
        let answer = ask.send_with(identity).await?;
        ensure(answer.status == 403, || {
            format!("{what}: {} {}", answer.status, answer.text())
        })?;
        ensure(world.reached(ask.marker()).is_empty(), || {
            format!("{what} reached {:?}", world.reached(ask.marker()))
        })?;
    }
    Ok(denied.len())
}

/// What a pool's servers have besides inference is for nobody, not for another gateway either; how many paths there are.
async fn beside_inference(world: &World, west: &Client) -> Result<usize> {
    let paths = [
        "/",
        "/metrics",
        "/load",
        "/v1/models",
        "/v1/load_lora_adapter",
        "/v1/chat/completions/",
        "/v1/chat/completions/../../../metrics",
        "/v1/chat/completions%2f..%2f..%2f..%2fmetrics",
        "/V1/chat/completions",
        "/server_info",
    ];
    for path in paths {
        for gets in [false, true] {
            let ask = ask(world, "eu-west-1", "global")?;
            let path = format!("{path}?{}", ask.marker());
            let ask = if gets {
                ask.get(&path)
            } else {
                ask.path(&path)
            };
            let answer = ask.send_with(west).await?;
            let reached = world.reached(ask.marker());
            ensure(answer.status == 404 && reached.is_empty(), || {
                format!("{path}: {} {} {reached:?}", answer.status, answer.text())
            })?;
        }
    }
    let queried = ask(world, "eu-west-1", "global")?.path("/v1/chat/completions?x=1");
    let answer = queried.send_with(west).await?;
    ensure(answer.status == 200, || answer.text())?;
    Ok(paths.len())
}

/// A peer's request never goes further: not for a model that this region lacks, not for a dead pool.
async fn never_forwarded(world: &World, west: &Client, east: &Client) -> Result<()> {
    let missing = world
        .ask("us-west-2")
        .model(PARTIAL_MODEL)
        .gateway_at(&at(world, "us-west-2"));
    let missing = missing
        .header("x-meridian-definition", &world.definition("global")?)
        .header("x-meridian-model", PARTIAL_MODEL);
    let answer = missing.send_with(east).await?;
    ensure(
        answer.status == 404 && world.reached(missing.marker()).is_empty(),
        || answer.text(),
    )?;
    world.pool("us-east-1").kill().await?;
    let dead = ask(world, "us-east-1", "global")?
        .header("x-meridian-lane", "home")
        .header("x-meridian-stream", "0");
    let answer = dead.send_with(west).await?;
    ensure(answer.status == 503, || {
        format!("{}: {}", answer.status, answer.text())
    })?;
    ensure(world.reached(dead.marker()).is_empty(), || {
        format!("forwarded to {:?}", world.reached(dead.marker()))
    })
}

fn as_gateway(world: &World, identity: Option<&str>) -> Result<Client> {
    Ok(certified(world, identity)?.build()?)
}

/// A client with a gateway's certificate.
pub(super) fn certified(world: &World, identity: Option<&str>) -> Result<reqwest::ClientBuilder> {
    let certificates = world.certificates();
    let ca = reqwest::Certificate::from_pem(&std::fs::read(certificates.ca())?)?;
    let mut client = client().tls_certs_only([ca]);
    if let Some(name) = identity {
        let mut pem = std::fs::read(certificates.certificate(name))?;
        pem.extend(std::fs::read(certificates.key(name))?);
        client = client.identity(reqwest::Identity::from_pem(&pem)?);
    }
    Ok(client)
}
