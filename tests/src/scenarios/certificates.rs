//! Certificates that are replaced while requests run, and certificates that have expired.

use super::ensure;
use super::load::Load;
use crate::world::certificates::{CONTROL_PLANE, FIRST_END, start_of};
use crate::world::{REGIONS, World, wait_for};
use anyhow::{Context, Result};
use meridian_planner::alarm::AlarmKind;
use meridian_xds_server::serve::report::Report;
use std::time::Duration;

/// The years in which what is new ends.
const NEW_AUTHORITY: i32 = 2090;
const NEW_CERTIFICATE: i32 = 2080;
const NEWEST_CERTIFICATE: i32 = 2081;
/// A year that is over.
const OVER: i32 = 2020;

/// Requests a second.
const RATE: u32 = 200;

/// Longer than a gateway waits for an answer of its control plane before it connects again: keepalive and its time limit.
const HANGS: Duration = Duration::from_secs(17);

pub async fn replaced(world: &mut World) -> Result<String> {
    // Its callers are served by the pools of peers, over mTLS.
    world.pool("us-west-2").kill().await?;
    let load = Load::at_rate(
        world,
        &[
            ("us-west-2", "US"),
            ("us-east-1", "US"),
            ("eu-west-1", "DE"),
        ],
        RATE,
    )?;
    roll_over(world).await?;
    connect_to_control_plane(world).await?;
    let tally = load.stop().await?;
    let west = tally.at("us-west-2");
    ensure(!west.contains_key("us-west-2") && !west.is_empty(), || {
        format!("{west:?}")
    })?;
    let report = world.report().await?;
    // Handshakes that nobody answered while it hung.
    let mut refused = report.certificates.refused.keys();
    ensure(refused.all(|reason| reason == "closed"), || {
        format!("{:?}", report.certificates)
    })?;
    let across: u32 = west.values().sum();
    Ok(format!(
        "authority and all certificates replaced, {} reloads of the control plane; {} requests, {across} of them across regions, none failed",
        report.certificates.reloads, tally.all
    ))
}

/// Replaces the authority and all certificates, with new connections between the gateways at each step.
async fn roll_over(world: &mut World) -> Result<()> {
    // Old certificates, both authorities.
    world.certificates_mut().add_authority(NEW_AUTHORITY)?;
    until_control_plane_has(world, |report| has(report, NEW_AUTHORITY)).await?;
    until_gateways_have(world, |page| page.contains(&date(NEW_AUTHORITY))).await?;
    reconnect(world, 1).await?;
    // Half of the gateways have new certificates, then all, then the control plane.
    world.certificates().renew("us-west-2", NEW_CERTIFICATE)?;
    reconnect(world, 2).await?;
    for name in ["us-east-1", "eu-west-1", CONTROL_PLANE] {
        world.certificates().renew(name, NEW_CERTIFICATE)?;
    }
    until_control_plane_has(world, |report| has(report, NEW_CERTIFICATE)).await?;
    until_gateways_have(world, |page| page.contains(&date(NEW_CERTIFICATE))).await?;
    reconnect(world, 3).await?;
    // The new authority alone.
    world.certificates_mut().drop_old_authority()?;
    until_control_plane_has(world, |report| !has(report, FIRST_END)).await?;
    until_gateways_have(world, |page| !page.contains(&date(FIRST_END))).await?;
    reconnect(world, 4).await
}

/// Has every gateway connect to the control plane anew, without a restart of either. Both have new certificates then.
async fn connect_to_control_plane(world: &mut World) -> Result<()> {
    let connected = connections(world).await?;
    let control_plane = world.control_plane()?;
    control_plane.freeze().await?;
    tokio::time::sleep(HANGS).await;
    control_plane.thaw().await?;
    wait_for("all gateways to connect again", || async {
        let now = connections(world).await?;
        Ok(now.len() == 3 && now.iter().all(|address| !connected.contains(address)))
    })
    .await?;
    let presented = world.report().await?.envoys;
    ensure(
        presented
            .iter()
            .all(|envoy| envoy.certificate == Some(start_of(NEW_CERTIFICATE))),
        || format!("{presented:?}"),
    )?;
    // The gateways' reports of their certificates arrive as well.
    wait_for("the gateways to report their new certificates", || async {
        let report = world.report().await?;
        let gateways = report.certificates_of_gateways();
        let mut own = gateways
            .iter()
            .filter(|((_, _, name), _)| *name == "gateway");
        Ok(own.clone().count() == 3 && own.all(|(_, ends)| *ends == start_of(NEW_CERTIFICATE)))
    })
    .await
}

pub async fn expired(world: &mut World) -> Result<String> {
    world.certificates().renew("us-west-2", OVER)?;
    until_alarm(world, "us-west-2").await?;
    // An open connection stays, and so do requests.
    ensure(connections(world).await?.len() == 3, || {
        "a gateway is gone".into()
    })?;
    renew_control_plane(world).await?;
    let reason = r#"meridian_tls_handshakes_refused_total{reason="expired"}"#;
    wait_for("the gateway to be refused", || async {
        Ok(world.metrics().await?.contains(reason))
    })
    .await?;
    let status = world.status().await?;
    let refused = line(&status, "handshakes were refused");
    ensure(
        refused.contains("expired: ") && refused.contains("certificate expired"),
        || status.clone(),
    )?;
    let answer = world.ask("us-west-2").country("US").send().await?;
    ensure(answer.status == 200, || answer.text())?;
    // New files, and nothing else.
    world.certificates().renew("us-west-2", NEW_CERTIFICATE)?;
    until_connected(world).await?;

    world.certificates().renew(CONTROL_PLANE, OVER)?;
    until_alarm(world, "control-plane").await?;
    renew_control_plane(world).await?;
    wait_for("the gateways to refuse the control plane", || async {
        let report = world.report().await?;
        Ok(report
            .certificates
            .refused
            .contains_key("refused_by_client"))
    })
    .await?;
    let status = world.status().await?;
    let by_gateways = line(&status, "handshakes were refused");
    ensure(by_gateways.contains("CertificateExpired"), || {
        status.clone()
    })?;
    world
        .certificates()
        .renew(CONTROL_PLANE, NEWEST_CERTIFICATE)?;
    until_connected(world).await?;
    wait_for("the alarms to end", || async {
        Ok(!world
            .report()
            .await?
            .alarms
            .iter()
            .any(is_about_certificates))
    })
    .await?;
    Ok(format!(
        "a gateway whose certificate has expired: {refused:?}; the control plane's: {by_gateways:?}; both connect again after new files"
    ))
}

/// Ends the control plane and starts it again: all connections to it are new.
async fn renew_control_plane(world: &mut World) -> Result<()> {
    let control_plane = world.control_plane()?;
    control_plane.kill().await?;
    control_plane.restart().await
}

async fn until_connected(world: &World) -> Result<()> {
    wait_for("all gateways to be connected", || async {
        Ok(connections(world).await?.len() == 3)
    })
    .await
}

async fn until_alarm(world: &World, region: &str) -> Result<()> {
    wait_for("the alarm", || async {
        let report = world.report().await?;
        let mut alarms = report.alarms.iter();
        Ok(alarms.any(|alarm| is_about_certificates(alarm) && alarm.region.as_str() == region))
    })
    .await
}

fn is_about_certificates(alarm: &meridian_planner::alarm::Alarm) -> bool {
    alarm.kind == AlarmKind::CertificateExpires
}

/// The addresses of the gateways' connections to the control plane.
async fn connections(world: &World) -> Result<Vec<String>> {
    let envoys = world.report().await?.envoys.into_iter();
    Ok(envoys.map(|envoy| envoy.remote).collect())
}

/// Has every gateway connect to its peers anew: an edit of the fleet file replaces the clusters. Waits for the handshakes.
async fn reconnect(world: &World, edit: u32) -> Result<()> {
    let mut before = Vec::new();
    for region in REGIONS {
        before.push(handshakes(world, region).await?);
    }
    let text = world.fleet_file()?;
    let (start, rest) = text.split_once(" connect: ").context("no limit")?;
    let (_, rest) = rest.split_once(',').context("no limit")?;
    let limit = 5000 - edit;
    world.edit(&format!("{start} connect: {limit}ms,{rest}"))?;
    wait_for("new connections between the gateways", || async {
        for (region, before) in REGIONS.into_iter().zip(&before) {
            if handshakes(world, region).await? <= *before {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
}

/// Handshakes of a gateway with its peers.
async fn handshakes(world: &World, region: &str) -> Result<u64> {
    let gateway = world.gateway(region);
    gateway
        .counter("^cluster\\.peer.*\\.ssl\\.handshake$")
        .await
}

async fn until_control_plane_has(world: &World, done: impl Fn(&Report) -> bool) -> Result<()> {
    wait_for("the control plane to take its files", || async {
        Ok(done(&world.report().await?))
    })
    .await
}

/// Whether a certificate of the control plane ends with the year before this one.
fn has(report: &Report, year: i32) -> bool {
    let mut own = report.certificates.own.values();
    own.any(|ends| *ends == start_of(year))
}

/// Waits until the certificates of every gateway, as its admin interface shows them, are as they should be.
async fn until_gateways_have(world: &World, done: impl Fn(&str) -> bool) -> Result<()> {
    wait_for("the gateways to take their files", || async {
        for region in REGIONS {
            if !done(&world.gateway(region).admin("/certs").await?) {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
}

/// A start of a year, as Envoy shows it.
fn date(year: i32) -> String {
    format!("{year}-01-01T00:00:00Z")
}

fn line(text: &str, part: &str) -> String {
    let mut lines = text.lines().filter(|line| line.contains(part));
    lines.next().unwrap_or_default().trim().to_owned()
}
