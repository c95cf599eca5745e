//! Gateways that are moved from one kind of the filter to the other.

use super::ensure;
use super::load::Load;
use crate::world::{REGIONS, World, wait_for};
use anyhow::Result;
use meridian_xds_server::name::{ROUTER, native};
use serde_json::Value;

/// Requests a second meanwhile.
const RATE: u32 = 200;
/// Requests with each mixture of the kinds.
const MORE: usize = 1500;

/// All gateways go from their kind of the filter to the other one and back, then one of them alone: no request fails, and each is decided
/// by the filter.
pub async fn moved(world: &mut World) -> Result<String> {
    let original = world.fleet_file()?;
    let line = |kind: &str| format!("  filter: {kind}\n");
    let (own, other) = match original.contains(&line("wasm")) {
        true => ("wasm", "native"),
        false => ("native", "wasm"),
    };
    let all = original.replace(&line(own), &line(other));
    let one = original.replacen("gateway: { ", &format!("gateway: {{ filter: {other}, "), 1);
    ensure(all != original && one != original, || {
        "no gateway to move".into()
    })?;
    let callers = [
        ("us-west-2", "US"),
        ("us-east-1", "US"),
        ("eu-west-1", "DE"),
    ];
    let load = Load::at_rate(world, &callers, RATE)?;
    for (text, with_other) in [(&all, REGIONS.len()), (&original, 0), (&one, 1)] {
        world.edit(text)?;
        until_run(world, with_other, (own, other)).await?;
        // Connections that began before keep the kind that they began with, beside those that begin now.
        until_asked(world, MORE).await?;
    }
    let tally = load.stop().await?;
    world.edit(&original)?;
    until_run(world, 0, (own, other)).await?;
    Ok(format!(
        "three gateways from {own} to {other} and back, then {} alone; {} requests at {RATE}/s, none failed, all decided by the filter",
        REGIONS[0], tally.all
    ))
}

/// Waits until the pools have got so many requests more.
async fn until_asked(world: &World, more: usize) -> Result<()> {
    let asked = || -> usize {
        let pools = REGIONS.into_iter().map(|region| world.pool(region));
        pools.map(|pool| pool.requests().len()).sum()
    };
    let enough = asked() + more;
    wait_for("more requests", || async { Ok(asked() >= enough) }).await
}

/// Waits until the first so many gateways run the other kind in new connections and all chains, and the rest their own.
async fn until_run(world: &World, with_other: usize, (own, other): (&str, &str)) -> Result<()> {
    let what = format!("{with_other} gateways to run {other}, the rest {own}");
    wait_for(&what, || async {
        let mut all_do = true;
        for (at, region) in REGIONS.into_iter().enumerate() {
            let kind = if at < with_other { other } else { own };
            all_do &= runs(world, region, kind).await?;
        }
        Ok(all_do)
    })
    .await
}

async fn runs(world: &World, region: &str, kind: &str) -> Result<bool> {
    let gateway = world.gateway(region);
    let listeners = gateway
        .admin("/config_dump?resource=dynamic_listeners")
        .await?;
    let listeners: Value = serde_json::from_str(&listeners)?;
    let listeners = listeners["configs"].as_array().into_iter().flatten();
    let active: String = listeners.map(|it| it["active_state"].to_string()).collect();
    let chains = gateway
        .admin("/config_dump?resource=dynamic_active_clusters")
        .await?;
    let has = |plugin: &str| {
        [&active, &chains]
            .iter()
            .any(|text| text.contains(&format!("\"{plugin}\"")))
    };
    Ok([ROUTER, "meridian.guard"].iter().all(|plugin| {
        has(plugin) == (kind == "wasm") && has(&native(plugin)) == (kind == "native")
    }))
}
