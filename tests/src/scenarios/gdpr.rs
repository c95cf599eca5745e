//! EU callers stay in the EU, whatever fails and whatever is claimed.

use super::{answered_by, ensure, refused, serves_again};
use crate::fakes::Fail;
use crate::world::{Answer, Ask, REGIONS, World};
use anyhow::{Context, Result, bail};
use std::net::{IpAddr, Ipv4Addr};

/// An address that the fleet file does not trust as the edge's.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

const FAILURES: [Fail; 7] = [
    Fail::Status(429),
    Fail::Status(500),
    Fail::Status(503),
    Fail::Reset,
    Fail::Hang,
    Fail::ErrorEvent(0),
    Fail::Cut(1),
];

/// What EU callers send, and what the peer listeners of the US had been sent before.
struct Watch {
    markers: Vec<String>,
    brought: u64,
}

impl Watch {
    async fn begin(world: &World) -> Result<Self> {
        Ok(Self {
            markers: Vec::new(),
            brought: brought(world).await?,
        })
    }

    /// Nothing of an EU caller was seen outside the EU: not by a pool, not by a provider, not by a gateway.
    async fn nothing_left(&self, world: &World) -> Result<()> {
        for outside in ["us-west-2", "us-east-1"]
            .map(|region| world.pool(region))
            .into_iter()
            .chain([world.provider("claude")])
        {
            for request in outside.requests() {
                let body = String::from_utf8_lossy(&request.body);
                let mut markers = self.markers.iter();
                let leaked = markers.find(|marker| body.contains(marker.as_str()));
                ensure(leaked.is_none(), || {
                    format!("{} recorded {leaked:?}", outside.name())
                })?;
            }
        }
        let brought = brought(world).await? - self.brought;
        ensure(brought == 0, || {
            format!("{brought} requests came to the peer listeners of the US")
        })
    }
}

/// Requests that came to the peer listeners of the US.
async fn brought(world: &World) -> Result<u64> {
    let mut brought = 0;
    for region in ["us-west-2", "us-east-1"] {
        let gateway = world.gateway(region);
        brought += gateway
            .counter("^http\\.peer\\.rbac\\.(allowed|denied)$")
            .await?;
    }
    Ok(brought)
}

/// How requests of EU callers ended.
#[derive(Default)]
struct Ends {
    home: usize,
    fallback: usize,
    /// With an error, or cut.
    refused: usize,
}

impl Ends {
    /// Counts an end; anything but the EU's own region, its fallback or a refusal is an error.
    fn count(&mut self, answer: Result<Answer>) -> Result<()> {
        // A cut or an in-band error after the head is not hidden; that it stays in the EU is what counts here.
        let Ok(answer) = answer else {
            self.refused += 1;
            return Ok(());
        };
        match (answer.status, answer.region()) {
            (_, "eu-west-1") => self.home += 1,
            (_, "fallback/claude-eu") => self.fallback += 1,
            (503, "") => self.refused += 1,
            (status, region) => bail!("{status} by `{region}`: {}", answer.text()),
        }
        Ok(())
    }
}

/// Home fails in every way, then is down.
pub async fn failing(world: &mut World) -> Result<String> {
    let mut watch = Watch::begin(world).await?;
    let mut ends = Ends::default();
    let home = world.pool("eu-west-1");
    for fail in FAILURES {
        home.update(|behaviour| behaviour.fail = fail);
        four_requests(world, &mut watch, &mut ends, true)
            .await
            .with_context(|| format!("{fail:?}"))?;
        home.update(|behaviour| behaviour.fail = Fail::None);
        // After several failures in a row home is asked now and then only.
        serves_again("eu-west-1", || world.ask("eu-west-1").country("FR")).await?;
    }
    home.kill().await?;
    four_requests(world, &mut watch, &mut ends, false)
        .await
        .context("down")?;
    let Ends {
        home,
        fallback,
        refused,
    } = ends;
    ensure(fallback > 0, || "the EU fallback was never used".into())?;
    watch.nothing_left(world).await?;
    Ok(format!(
        "{} EU requests through {} failures: {home} ended at eu-west-1, {fallback} at claude-eu, {refused} were cut; nothing reached the US or the global fallback",
        watch.markers.len(),
        FAILURES.len() + 1
    ))
}

/// Fewer than take the pool out, so that they meet the failure of a pool that is up; a success in between starts the count anew.
async fn four_requests(
    world: &World,
    watch: &mut Watch,
    ends: &mut Ends,
    is_up: bool,
) -> Result<()> {
    let mut met = 0;
    for streamed in [false, true, false, true] {
        let ask = world.ask("eu-west-1").country("FR");
        let ask = if streamed { ask.streamed() } else { ask };
        watch.markers.push(ask.marker().to_owned());
        ends.count(ask.send().await)?;
        let reached = world.reached(ask.marker());
        met += usize::from(reached.contains(&"eu-west-1".to_owned()));
    }
    // Where failures came in a row before, home is asked now and then only.
    ensure(!is_up || met > 0, || "the failure was never met".into())?;
    Ok(())
}

/// Without a fallback: 503 in the API's own shape, never another region.
pub async fn no_fallback(world: &mut World) -> Result<String> {
    let mut watch = Watch::begin(world).await?;
    answered_by(world, &world.ask("eu-west-1").country("IT"), "eu-west-1").await?;
    world.pool("eu-west-1").kill().await?;
    for path in ["/v1/chat/completions", "/v1/messages"] {
        for _ in 0..5 {
            let ask = world.ask("eu-west-1").country("IT").path(path);
            watch.markers.push(ask.marker().to_owned());
            let answer = refused(world, &ask, 503, "error").await?;
            ensure(answer.header("retry-after") == "2", || {
                format!("no Retry-After: {:?}", answer.headers)
            })?;
            let message = &answer.json()["error"]["message"];
            ensure(message.is_string(), || {
                format!("not in the API's shape: {}", answer.text())
            })?;
            ensure(
                path != "/v1/messages" || answer.json()["type"] == "error",
                || answer.text(),
            )?;
        }
    }
    watch.nothing_left(world).await?;
    // The same where the last word is another gateway's.
    world.pool("us-west-2").kill().await?;
    world.pool("us-east-1").kill().await?;
    for path in ["/v1/chat/completions", "/v1/messages"] {
        let ask = world.ask("us-west-2").country("US").path(path);
        let answer = refused(world, &ask, 503, "error").await?;
        ensure(answer.json()["error"]["message"].is_string(), || {
            format!("not in the API's shape: {}", answer.text())
        })?;
        ensure(answer.header("retry-after") == "2", || {
            format!("no Retry-After: {:?}", answer.headers)
        })?;
        ensure(answer.header("x-meridian-retry").is_empty(), || {
            format!("{:?}", answer.headers)
        })?;
    }
    Ok("eu-west-1 down: 503 with Retry-After in both APIs' shapes, and nobody else asked".into())
}

/// What callers claim about themselves changes nothing.
pub async fn forged(world: &mut World) -> Result<String> {
    let mut watch = Watch::begin(world).await?;
    world
        .pool("eu-west-1")
        .update(|behaviour| behaviour.fail = Fail::Status(503));
    let claims = claims(world)?;
    let claimed = claims.len();
    for (claim, ask) in claims {
        watch.markers.push(ask.marker().to_owned());
        answered_by(world, &ask, "fallback/claude-eu")
            .await
            .map_err(|error| error.context(claim))?;
        // The same at the gateways that must not serve the zone.
        for region in &REGIONS[..2] {
            let ask = ask
                .clone()
                .gateway_at(&format!("http://{}", world.block().public(region)));
            let answer = ask.send().await?;
            ensure(answer.status == 421, || {
                format!("{claim} at {region}: {} {}", answer.status, answer.text())
            })?;
        }
    }
    watch.nothing_left(world).await?;
    Ok(format!(
        "{claimed} forged or unclear claims, at all three gateways: treated as EU callers, nothing left"
    ))
}

/// Requests that are to be treated as an EU caller's, each with what it claims.
fn claims(world: &World) -> Result<Vec<(&'static str, Ask)>> {
    let mut claims = claims_by_our_headers(world)?;
    claims.extend(claims_by_sources(world));
    Ok(claims)
}

/// Claims by headers that are Meridian's own.
fn claims_by_our_headers(world: &World) -> Result<Vec<(&'static str, Ask)>> {
    let global = world.definition("global")?;
    let eu = || world.ask("eu-west-1").country("DE");
    Ok(vec![
        ("x-meridian-zone", eu().header("x-meridian-zone", "global")),
        (
            "x-meridian-definition",
            eu().header("x-meridian-definition", &global),
        ),
        ("x-meridian-* in full", {
            let ask = eu()
                .header("x-meridian-definition", &global)
                .header("x-meridian-zone", "global")
                .header("X-Meridian-Lane", "home");
            ask.header("x-meridian-model", "llama-3.1-70b")
                .header("x-meridian-stream", "0")
        }),
        ("needs fresh data", eu().header("x-meridian-needs", "fresh")),
        ("x-meridian-refused", eu().header("x-meridian-refused", "1")),
    ])
}

/// Claims by sources of the zone.
fn claims_by_sources(world: &World) -> Vec<(&'static str, Ask)> {
    let eu = || world.ask("eu-west-1").country("DE");
    let unknown = || world.ask("eu-west-1");
    vec![
        (
            "country from a stranger",
            unknown().country("US").from(STRANGER),
        ),
        (
            "zone from a stranger",
            unknown().header("x-tenant-zone", "global").from(STRANGER),
        ),
        (
            "forwarded address",
            unknown()
                .country("US")
                .from(STRANGER)
                .header("x-forwarded-for", "127.0.0.1"),
        ),
        ("no country", unknown()),
        ("XX", unknown().country("XX")),
        ("T1", unknown().country("T1")),
        ("EU", unknown().country("EU")),
        ("lower case", unknown().country("us")),
        ("two countries", unknown().country("US").country("US")),
        ("two in one", unknown().country("US,DE")),
        ("spaces", unknown().country("U S")),
        ("not UTF-8", unknown().header("cf-ipcountry", [0x55, 0xff])),
        (
            "tenant says global, country says DE",
            eu().header("x-tenant-zone", "global"),
        ),
        ("two tenant zones", {
            let ask = unknown().country("US").header("x-tenant-zone", "global");
            ask.header("x-tenant-zone", "eea")
        }),
        (
            "unclear tenant zone, country says US",
            unknown().country("US").header("x-tenant-zone", "EEA"),
        ),
        (
            "unknown tenant zone",
            unknown().header("x-tenant-zone", "mars"),
        ),
    ]
}
