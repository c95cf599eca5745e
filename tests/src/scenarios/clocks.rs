//! Wall clocks that are set by minutes while the control plane and the gateways run, and a gateway that stands still.

use super::ensure;
use super::failover::unreachable_is_shown;
use super::overflow::{share, turn};
use super::queries::{by_queries, reasons, until_only_source, until_shed};
use crate::world::{Prometheus, World, wait_for};
use anyhow::Result;
use std::net::SocketAddr;
use std::time::Duration;

/// The gateway whose callers leave.
const HOME: &str = "us-west-2";

/// Longer than the lease and every limit on silence.
const STANDSTILL: Duration = Duration::from_millis(6500);

/// Beyond the validity of every certificate, in seconds.
const CENTURIES: i64 = 3000 * 365 * 86_400;

/// Clocks are set forwards and back on either side while a plan moves callers whose load only a Prometheus reports: the same
/// callers leave, and no sample counts as stale. Then the gateway stands still for longer than its lease. In the end
/// all certificates have expired by its clock.
pub async fn clocks(world: &mut World) -> Result<String> {
    let listen = SocketAddr::new(world.block().status().ip(), 9090);
    let prometheus = Prometheus::start(world, listen).await?;
    let file = by_queries(&world.fleet_file()?, world.certificates(), listen);
    world.edit(&file)?;
    until_only_source(world).await?;
    until_shed(world).await?;
    let leaving = who_leaves(world).await?;
    ensure(!leaving.is_empty(), || "nobody left".into())?;

    for seconds in [90, -240] {
        world.gateway(HOME).wall_clock()?.set(seconds)?;
        same_leave(world, &leaving, &format!("{seconds:+} s at the gateway")).await?;
    }
    for seconds in [300, -300] {
        world.control_plane()?.wall_clock()?.set(seconds)?;
        // By then its plan is saved by that clock. Prometheus has another one.
        lease_renewed(world).await?;
        unmoved(
            world,
            &leaving,
            &format!("{seconds:+} s at the control plane"),
        )
        .await?;
        let control_plane = world.control_plane()?;
        control_plane.kill().await?;
        control_plane.restart().await?;
        unmoved(world, &leaving, &format!("a restart at {seconds:+} s")).await?;
    }

    world.gateway(HOME).freeze().await?;
    tokio::time::sleep(STANDSTILL).await;
    world.gateway(HOME).thaw().await?;
    same_leave(world, &leaving, "a gateway that stood still").await?;
    prometheus.end().await?;

    // Past the end of every certificate: it accepts none at the next handshake.
    world.gateway(HOME).wall_clock()?.set(CENTURIES)?;
    world.restart_gateway("us-east-1").await?;
    unreachable_is_shown(world, HOME, "us-east-1", "certificate").await?;
    Ok(format!(
        "{} of 30 conversations leave; the same ones after steps of a gateway's clock by +90 s and -240 s, of the control plane's by \
         +300 and -300 s and a restart after each, and {STANDSTILL:?} of standstill; nothing was stale; an alarm when certificates had expired",
        leaving.len()
    ))
}

/// The conversations that another region answers.
async fn who_leaves(world: &World) -> Result<Vec<usize>> {
    let mut leaving = Vec::new();
    for conversation in 0..30 {
        let answer = turn(world, HOME, "US", conversation).send().await?;
        let decision = answer.header("x-meridian-decision");
        ensure(
            answer.status == 200 && !decision.contains("ran-out"),
            || format!("{}: {decision}", answer.status),
        )?;
        if answer.region() != HOME {
            leaving.push(conversation);
        }
    }
    Ok(leaving)
}

async fn same_leave(world: &World, leaving: &[usize], after: &str) -> Result<()> {
    let now = who_leaves(world).await?;
    ensure(now == leaving, || {
        format!("after {after} {now:?} left instead of {leaving:?}")
    })
}

/// The same callers leave as before, at once and once all sources were read again; none is stale.
async fn unmoved(world: &World, leaving: &[usize], after: &str) -> Result<()> {
    same_leave(world, leaving, after).await?;
    let share_before = share(world, HOME).await?;
    // The first of them may have begun before.
    for _ in 0..2 {
        read_again(world).await?;
    }
    let source = &world.report().await?.regions[HOME].sources["signals[0]"];
    ensure(source.refused.is_empty(), || {
        format!("after {after} refused: {:?}", source.refused)
    })?;
    let reasons = reasons(world, HOME).await?;
    ensure(reasons.is_empty(), || format!("after {after}: {reasons:?}"))?;
    let share = share(world, HOME).await?;
    ensure(share == share_before, || {
        format!("after {after} the share is {share} instead of {share_before}")
    })?;
    same_leave(world, leaving, after).await
}

/// The lease was renewed since now: the first renewal that is seen may have been before.
async fn lease_renewed(world: &World) -> Result<()> {
    another_lease(world).await?;
    another_lease(world).await
}

async fn another_lease(world: &World) -> Result<()> {
    let given = async || anyhow::Ok(world.report().await?.lease.map(|lease| lease.given));
    let before = given().await?;
    wait_for("the lease to be renewed", || async {
        Ok(given().await? != before)
    })
    .await
}

/// The home region's source was read once more.
async fn read_again(world: &World) -> Result<()> {
    let heard = async || {
        let report = world.report().await?;
        let source = report.regions[HOME].sources.get("signals[0]");
        anyhow::Ok(source.and_then(|source| source.heard))
    };
    let before = heard().await?;
    wait_for("the source to be read again", || async {
        let now = heard().await?;
        Ok(now.is_some() && now != before)
    })
    .await
}
