//! Brings a fleet back to its state at the start.

use super::{REGIONS, World, wait_for};
use crate::fakes::Behaviour;
use anyhow::Result;

/// Callers of every zone at every gateway that serves it.
const CALLERS: [(&str, &str); 4] = [
    ("us-west-2", "US"),
    ("us-east-1", "US"),
    ("eu-west-1", "US"),
    ("eu-west-1", "DE"),
];

/// Requests in a row by which a gateway shows that it has forgotten what happened: enough to meet each of its two workers.
const IN_A_ROW: usize = 10;

/// Parts of a decision by which the gateway still acts on earlier answers.
const REMEMBERED: [&str; 3] = [" cooling=", " full=", " pressure="];

impl World {
    /// All servers as at the start: up, without failures and without records.
    ///
    /// # Errors
    /// A gateway does not see it in time.
    pub async fn heal(&self) -> Result<()> {
        self.revive().await?;
        self.until_healthy().await
    }

    async fn revive(&self) -> Result<()> {
        for server in self.servers() {
            server.set(Behaviour::default());
            server.revive().await?;
            server.clear();
        }
        Ok(())
    }

    /// The whole fleet as at its start, for the next scenario: servers, the fleet file, a control plane without a memory, and
    /// gateways that have forgotten what their servers did.
    ///
    /// # Errors
    /// It is not so in time.
    pub(crate) async fn heal_all(&mut self) -> Result<()> {
        for database in &mut self.databases {
            database.revive().await?;
        }
        self.revive().await?;
        // Nobody asks a region that its plan has taken for down: only another plan brings it back within a minute.
        if let Some(control_plane) = &mut self.control_plane {
            std::fs::write(self.dir.path().join("fleet.yaml"), &self.fleet)?;
            control_plane.renew().await?;
            wait_for("all gateways to be up to date", || self.is_up_to_date()).await?;
        }
        self.until_known_healthy().await?;
        if self.control_plane.is_some() {
            wait_for("no region to shed or to be unhealthy", || self.is_calm()).await?;
        }
        wait_for("every gateway to serve its callers at home", || {
            self.is_served_at_home()
        })
        .await?;
        for server in self.servers() {
            server.clear();
        }
        Ok(())
    }

    /// Every gateway is connected and has taken all that it was sent.
    pub(crate) async fn is_up_to_date(&self) -> Result<bool> {
        let report = self.report().await?;
        let mut types = report.envoys.iter().flat_map(|envoy| envoy.types.values());
        let idle = types.all(|of| of.in_flight.is_none() && of.acked.is_some());
        Ok(report.envoys.len() == REGIONS.len() && idle)
    }

    /// No pool is unhealthy for any reason, no database behind, and every region keeps all of its callers.
    async fn is_calm(&self) -> Result<bool> {
        let report = self.report().await?;
        let healthy = report.regions.values().all(|region| {
            let mut pools = region.pools.values();
            !region.data.behind && pools.all(|pool| pool.health.reasons.is_empty())
        });
        let mut placements = report
            .placements
            .values()
            .flat_map(|zones| zones.values())
            .flat_map(|models| models.values());
        Ok(healthy && placements.all(|placement| placement.home_share == 100))
    }

    async fn is_served_at_home(&self) -> Result<bool> {
        for (gateway, country) in CALLERS {
            for _ in 0..IN_A_ROW {
                let answer = self.ask(gateway).country(country).send().await?;
                let decision = answer.header("x-meridian-decision");
                let remembers = REMEMBERED.iter().any(|word| decision.contains(word));
                if answer.status != 200 || answer.region() != gateway || remembers {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
