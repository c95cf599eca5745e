//! Signals that are pushed over mTLS, by a client that the fleet file names.

use super::ensure;
use super::overflow::{in_force, share};
use crate::world::certificates::{FORGED, PUSHER};
use crate::world::{MODEL, World, wait_for};
use anyhow::{Context, Result, bail};
use meridian_planner::health::Reason;
use meridian_proto::signals::signals_client::SignalsClient;
use meridian_proto::signals::{Figure, PushRequest, PushResponse, Sample};
use std::time::Duration;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Status};

/// How often it is pushed.
const PACE: Duration = Duration::from_millis(250);

/// A channel to the control plane, by a certificate of the world.
async fn channel(world: &World, name: &str) -> Result<Channel> {
    let certificates = world.certificates();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(std::fs::read(certificates.ca())?))
        .identity(Identity::from_pem(
            std::fs::read(certificates.certificate(name))?,
            std::fs::read(certificates.key(name))?,
        ));
    let url = format!("https://{}", world.block().control_plane());
    Ok(Channel::from_shared(url)?
        .tls_config(tls)?
        .connect()
        .await?)
}

async fn push(channel: &Channel, region: &str, value: f64) -> Result<PushResponse, Status> {
    let sample = Sample {
        figure: Figure::Utilization.into(),
        value,
        model: MODEL.into(),
        engine: String::new(),
    };
    let request = PushRequest {
        region: region.into(),
        samples: vec![sample],
        source: String::new(),
    };
    // One that comes too soon after another comes again.
    let mut ticks = tokio::time::interval(PACE);
    loop {
        ticks.tick().await;
        let mut client = SignalsClient::new(channel.clone());
        match client.push(request.clone()).await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if status.code() == Code::ResourceExhausted => {}
            Err(status) => return Err(status),
        }
    }
}

/// Pushes a utilization, again and again, until a condition holds.
async fn pushing<F: Future<Output = Result<bool>>>(
    channel: &Channel,
    value: f64,
    what: &str,
    condition: impl Fn() -> F,
) -> Result<()> {
    let mut ticks = tokio::time::interval(PACE);
    let pushes = async {
        loop {
            ticks.tick().await;
            if let Err(status) = push(channel, "us-west-2", value).await {
                return status;
            }
        }
    };
    tokio::select! {
        status = pushes => bail!("a push was refused: {status}"),
        waited = wait_for(what, condition) => waited,
    }
}

/// A pushed signal moves callers, an impossible one and silence move none, and no other client may push it.
pub async fn pushed(world: &mut World) -> Result<String> {
    let own = channel(world, PUSHER).await?;
    until_pushed(world, &own).await?;
    let shed = || async { Ok(share(world, "us-west-2").await? < 100) };
    pushing(&own, 0.95, "us-west-2 to shed", shed).await?;
    let in_envoy = || async {
        let (policy, _) = in_force(world, "us-west-2").await?;
        let split = &policy["zones"]["global"]["models"][MODEL]["split"];
        Ok(split["home_share"] == share(world, "us-west-2").await?)
    };
    pushing(&own, 0.76, "Envoy to have it", in_envoy).await?;
    let kept = share(world, "us-west-2").await?;
    let silent = lie_and_silence(world, &own).await?;
    ensure(silent == kept, || format!("from {kept} % to {silent} %"))?;
    others_may_not(world, &own).await?;
    let calm = || async { Ok(share(world, "us-west-2").await? == 100) };
    pushing(&own, 0.3, "all to be back", calm).await?;
    Ok(format!(
        "pushed 0.95: us-west-2 keeps {kept} %, in Envoy too; NaN refused, told and counted; silence is stale, {silent} % kept; others, other \
         regions and forged certificates refused; at 0.30 all back"
    ))
}

/// The fleet file names the pusher in the place of a scraped page, and the control plane hears it.
async fn until_pushed(world: &World, own: &Channel) -> Result<()> {
    let text = world.fleet_file()?;
    let line = text
        .lines()
        .find(|line| line.contains("preset: vllm"))
        .context("no source of vLLM")?;
    let entry =
        "      - { push: spiffe://meridian/source/west, figures: [utilization], every: 250ms }";
    world.edit(&text.replacen(line, entry, 1))?;
    let heard = || async {
        let report = world.report().await?;
        let source = report.regions["us-west-2"].sources.get("signals[0]");
        Ok(source.is_some_and(|source| {
            source.url == "spiffe://meridian/source/west" && source.heard.is_some()
        }))
    };
    wait_for("the edit to be taken", || async {
        Ok(push(own, "us-west-2", 0.3).await.is_ok())
    })
    .await?;
    pushing(own, 0.3, "the pusher to be heard", heard).await
}

/// An impossible value is refused and counted; then the pusher is silent, and its signal stale. Returns the share after that.
async fn lie_and_silence(world: &World, own: &Channel) -> Result<u8> {
    let lied = push(own, "us-west-2", f64::NAN).await?;
    ensure(
        lied.refused.iter().any(|it| it.reason == "not_a_number"),
        || format!("{:?}", lied.refused),
    )?;
    wait_for("the lie and the silence to be shown", || async {
        let region = &world.report().await?.regions["us-west-2"];
        let lies = region.sources["signals[0]"].refusals.get("not_a_number");
        let reasons = &region.pools[MODEL].health.reasons;
        Ok(lies.is_some() && reasons.contains(&Reason::Stale))
    })
    .await?;
    share(world, "us-west-2").await
}

/// Refused are a gateway of this fleet and this pusher for another region; with a forged certificate there is no connection.
async fn others_may_not(world: &World, own: &Channel) -> Result<()> {
    let gateway = channel(world, "us-west-2").await?;
    for (channel, region) in [(&gateway, "us-west-2"), (own, "eu-west-1"), (own, "mars")] {
        let status = push(channel, region, 0.1)
            .await
            .err()
            .context("it was taken")?;
        ensure(status.code() == Code::PermissionDenied, || {
            status.to_string()
        })?;
    }
    if let Ok(forged) = channel(world, FORGED).await {
        let taken = push(&forged, "us-west-2", 0.1).await;
        ensure(taken.is_err(), || "a forged certificate was taken".into())?;
    }
    Ok(())
}
