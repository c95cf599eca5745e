//! Signals that nobody can scrape: pushed over mTLS, by whom the fleet file names.

use super::ensure;
use super::overflow::{in_force, share};
use crate::world::certificates::{FORGED, PUSHER};
use crate::world::{MODEL, World, wait_for};
use anyhow::{Context, Result, bail};
use meridian_policy::health::Reason;
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

/// A pusher's word moves callers, its lies and its silence move nobody, and nobody else may speak for it.
pub async fn pushed(world: &mut World) -> Result<String> {
    let text = world.fleet_file()?;
    let line = text
        .lines()
        .find(|line| line.contains("preset: vllm"))
        .context("no source of vLLM")?;
    let entry =
        "      - { push: spiffe://meridian/source/west, figures: [utilization], every: 250ms }";
    world.edit(&text.replacen(line, entry, 1))?;
    let own = channel(world, PUSHER).await?;
    let heard = || async {
        let report = world.report().await?;
        let source = report.regions["us-west-2"].sources.get("signals[0]");
        Ok(source.is_some_and(|source| {
            source.url == "spiffe://meridian/source/west" && source.heard.is_some()
        }))
    };
    wait_for("the edit to be taken", || async {
        Ok(push(&own, "us-west-2", 0.3).await.is_ok())
    })
    .await?;
    pushing(&own, 0.3, "the pusher to be heard", heard).await?;

    let shed = || async { Ok(share(world, "us-west-2").await? < 100) };
    pushing(&own, 0.95, "us-west-2 to shed", shed).await?;
    let in_envoy = || async {
        let (policy, _) = in_force(world, "us-west-2").await?;
        let split = &policy["zones"]["global"]["models"][MODEL]["split"];
        Ok(split["home_share"] == share(world, "us-west-2").await?)
    };
    pushing(&own, 0.76, "Envoy to have it", in_envoy).await?;
    let kept = share(world, "us-west-2").await?;

    // Lies are told back, counted, and move nobody; then it is silent, which is stale.
    let lied = push(&own, "us-west-2", f64::NAN).await?;
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
    let silent = share(world, "us-west-2").await?;
    ensure(silent == kept, || format!("from {kept} % to {silent} %"))?;

    // Others may not: a gateway of this fleet, this pusher for another region; without a certificate of ours there is no connection.
    let gateway = channel(world, "us-west-2").await?;
    for (channel, region) in [(&gateway, "us-west-2"), (&own, "eu-west-1"), (&own, "mars")] {
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
    let calm = || async { Ok(share(world, "us-west-2").await? == 100) };
    pushing(&own, 0.3, "all to be back", calm).await?;
    Ok(format!(
        "pushed 0.95: us-west-2 keeps {kept} %, in Envoy too; NaN refused, told and counted; silence is stale, {silent} % kept; others, other \
         regions and forged certificates refused; at 0.30 all back"
    ))
}
