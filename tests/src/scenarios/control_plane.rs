//! The control plane comes and goes; requests do not notice.

use super::ensure;
use super::load::Load;
use super::overflow::{in_force, left, overload, share, who_answers};
use crate::kill_hunt::{conclude, hunt};
use crate::replica_hunt;
use crate::world::{MODEL, REGIONS, World, wait_for};
use anyhow::Result;
use std::collections::BTreeMap;
use std::time::Duration;

/// Callers of every gateway.
const CALLERS: [(&str, &str); 4] = [
    ("us-west-2", "US"),
    ("us-east-1", "CA"),
    ("eu-west-1", "DE"),
    ("eu-west-1", "JP"),
];

/// What each Envoy has taken of each type, by its own counters; the policy, whose lease is renewed, left out.
async fn taken(world: &World) -> Result<BTreeMap<(&'static str, &'static str), u64>> {
    let counters = [
        ("clusters", "^cluster_manager\\.cds\\.update_success$"),
        ("listeners", "^listener_manager\\.lds\\.update_success$"),
        ("routes", "^http\\..*\\.rds\\..*\\.update_success$"),
        ("endpoints", "^cluster\\..*\\.update_success$"),
    ];
    let mut taken = BTreeMap::new();
    for region in REGIONS {
        for (kind, counter) in counters {
            taken.insert(
                (region, kind),
                world.gateway(region).counter(counter).await?,
            );
        }
    }
    Ok(taken)
}

async fn all_connected(world: &World) -> Result<()> {
    wait_for("all Envoys to be connected and up to date", || async {
        world.is_up_to_date().await
    })
    .await
}

/// Killed and started again ten times under load: nothing fails, and what did not change is not sent again.
pub async fn restarts(world: &mut World) -> Result<String> {
    let share_before = overload(world, "us-west-2").await?;
    all_connected(world).await?;
    let before = taken(world).await?;
    let load = Load::start(world, &CALLERS)?;
    for round in 0..10 {
        let control_plane = world.control_plane()?;
        // In good order, or not.
        if round % 3 == 2 {
            control_plane.end().await?;
        } else {
            control_plane.kill().await?;
        }
        control_plane.restart().await?;
        all_connected(world).await?;
        let now = share(world, "us-west-2").await?;
        ensure(now == share_before, || {
            format!("the share was {share_before} and is {now} after restart {round}")
        })?;
    }
    let tally = load.stop().await?;
    let after = taken(world).await?;
    ensure(after == before, || {
        format!("sent again: {before:?} became {after:?}")
    })?;
    let eu = tally.at("eu-west-1");
    Ok(format!(
        "{} requests at 50/s over 10 restarts, none failed; share {share_before} % kept; clusters, endpoints, listeners, routes sent again: 0; eu-west-1's callers by {eu:?}",
        tally.all
    ))
}

/// Killed at random moments: no request notices, and nothing is sent again. `kill_hunt` does the same as often as one wants.
pub async fn killed(world: &mut World) -> Result<String> {
    conclude(&hunt(world, 3, 5, |_| ()).await?)
}

/// Three replicas: leaders and etcd die at random moments. `replica_hunt` does the same as often as one wants.
pub async fn replicas(world: &mut World) -> Result<String> {
    let faults = replica_hunt::Faults {
        leaders: 2,
        etcd: 1,
    };
    replica_hunt::conclude(&replica_hunt::hunt(world, 3, faults, |_| ()).await?)
}

/// Stopped without dying, as a machine that swaps: nothing fails, and past the lease everyone goes home.
pub async fn hangs(world: &mut World) -> Result<String> {
    overload(world, "us-west-2").await?;
    ensure(left(&who_answers(world, 0..40).await?) > 0, || {
        "nobody left".into()
    })?;
    let load = Load::start(world, &CALLERS)?;
    world.control_plane()?.freeze().await?;
    let ran_out = |answer: &crate::world::Answer| {
        answer
            .header("x-meridian-decision")
            .contains("lease=ran-out")
    };
    wait_for("the lease to run out", || async {
        Ok(ran_out(
            &super::overflow::turn(world, "us-west-2", "US", 0)
                .send()
                .await?,
        ))
    })
    .await?;
    let home = who_answers(world, 0..40).await?;
    ensure(left(&home) == 0, || {
        format!("past the lease {} of 40 still left", left(&home))
    })?;
    world.control_plane()?.thaw().await?;
    wait_for("the plan to count again", || async {
        Ok(left(&who_answers(world, 0..40).await?) > 0)
    })
    .await?;
    let tally = load.stop().await?;
    Ok(format!(
        "{} requests at 50/s while it hung for longer than its lease, none failed; past the lease all at home, then as planned again",
        tally.all
    ))
}

/// Every Envoy restarted, one after the other: each is back by itself, with the same configuration.
pub async fn gateways(world: &mut World) -> Result<String> {
    wait_for("a plan by signals, behind that of the start", || async {
        Ok(world.report().await?.counts.publications > 1)
    })
    .await?;
    wait_for("all gateways to have it", || world.is_up_to_date()).await?;
    let (policy, weights) = in_force(world, "us-west-2").await?;
    let mut took = Vec::new();
    for region in REGIONS {
        let others: Vec<(&str, &str)> = CALLERS
            .into_iter()
            .filter(|(gateway, _)| *gateway != region)
            .collect();
        let load = Load::start(world, &others)?;
        let begun = tokio::time::Instant::now();
        world.restart_gateway(region).await?;
        let country = if region == "eu-west-1" { "DE" } else { "US" };
        wait_for("the gateway to serve", || async {
            let answer = world.ask(region).country(country).send().await;
            Ok(answer.is_ok_and(|answer| answer.status == 200 && answer.region() == region))
        })
        .await?;
        took.push(begun.elapsed());
        world.until_healthy().await?;
        load.stop().await?;
    }
    all_connected(world).await?;
    let without_lease = |policy: &serde_json::Value| {
        let mut policy = policy.clone();
        policy["lease"] = serde_json::Value::Null;
        policy
    };
    wait_for("the configuration from before", || async {
        let (policy_after, weights_after) = in_force(world, "us-west-2").await?;
        Ok(without_lease(&policy_after) == without_lease(&policy) && weights_after == weights)
    })
    .await?;
    let slowest = took.into_iter().max().unwrap_or(Duration::ZERO);
    Ok(format!(
        "three Envoys restarted in turn while the others served: the slowest served after {slowest:.1?}, {MODEL} as before"
    ))
}
