//! The end of a round.

use crate::world::{REGIONS, World, wait_for};
use anyhow::Result;

/// Waits until all replicas agree, and all gateways have what they publish.
pub async fn until_settled(world: &mut World) -> Result<()> {
    let replicas = &*world.replicas()?;
    wait_for("the replicas and the gateways to settle", || async {
        if !replicas.agree().await.unwrap_or(false) {
            return Ok(false);
        }
        let reports = replicas.reports().await?;
        let envoys: Vec<_> = reports.iter().flat_map(|report| &report.envoys).collect();
        let mut types = envoys.iter().flat_map(|envoy| envoy.types.values());
        let idle =
            types.all(|of| of.in_flight.is_none() && of.acked.is_some() && of.nack.is_none());
        let kept = reports.iter().all(|report| report.fleet.kept.is_empty());
        Ok(envoys.len() == REGIONS.len()
            && envoys.iter().all(|envoy| envoy.types.len() >= 5)
            && idle
            && kept)
    })
    .await
}
