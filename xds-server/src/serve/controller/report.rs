//! The controller's report for `/status` and `/metrics`.

use super::Controller;
use crate::serve::report::{
    AttemptsReport, DataReport, FleetReport, PoolReport, RegionReport, Report, fallbacks, zones,
};
use meridian_planner::alarm::alarms;
use meridian_planner::alarm::freshness_alarms;
use meridian_planner::signal::Millis;
use meridian_policy::egress_policy::Budget;
use meridian_policy::retrieval::Role;
use meridian_policy::{ModelName, RegionName, ZoneName};
use std::collections::BTreeMap;

impl Controller {
    /// The state at a time, without the connected Envoys.
    pub fn report(&self, now: Millis) -> Report {
        let mut regions: BTreeMap<RegionName, RegionReport> = BTreeMap::new();
        let mut providers = self.fleet.fallbacks.values();
        let has_budget = providers.any(|fallback| fallback.budget != Budget::default());
        for (name, region) in &self.fleet.regions {
            let report = regions.entry(name.clone()).or_default();
            report.location = region.location;
            report.data = self.data(name, region.vector_db.as_ref().map(|of| of.role), now);
            let attempts = self.state.attempts_at(name);
            report.attempts = attempts.map(AttemptsReport::from).collect();
            report.budgeted = has_budget.then_some(region.gateway.replicas);
            for model in region.pools.keys() {
                let health = self.plan.pools.get(name).and_then(|pools| pools.get(model));
                let pool = PoolReport {
                    signals: self.state.pool(&self.fleet, name, model, now),
                    health: health.cloned().unwrap_or_default(),
                    batch: self.plan.batch_gate(name, model),
                    demand: self.demand(name, model, now),
                };
                report.pools.insert(model.clone(), pool);
            }
        }
        for ((region, source), report) in &self.sources {
            if let Some(region) = regions.get_mut(region) {
                region.sources.insert(source.clone(), report.clone());
            }
        }
        Report {
            at: now,
            version: env!("CARGO_PKG_VERSION").into(),
            fleet: FleetReport {
                kept: self.earlier.kept(&self.fleet),
                ..self.file.clone()
            },
            unpublished: self.unpublished.clone(),
            lease: Some(self.lease),
            regions,
            zones: zones(&self.fleet),
            fallbacks: fallbacks(&self.fleet),
            placements: self.plan.gateways.clone(),
            intents: self.intents.clone(),
            replicas: None,
            envoys: Vec::new(),
            api: None,
            certificates: Default::default(),
            alarms: [
                alarms(&self.fleet, &self.state, &self.plan, now),
                freshness_alarms(&self.fleet, &self.plan),
            ]
            .concat(),
            counts: self.counts.clone(),
        }
    }

    /// Requests per second whose first target is a pool, by zone.
    fn demand(
        &self,
        region: &RegionName,
        model: &ModelName,
        now: Millis,
    ) -> BTreeMap<ZoneName, f64> {
        let mut demand = BTreeMap::new();
        for ((_, zone), rate) in self.state.demand(&self.fleet, region, model, now) {
            *demand.entry(zone.clone()).or_default() += rate;
        }
        demand
    }

    fn data(&self, region: &RegionName, role: Option<Role>, now: Millis) -> DataReport {
        let freshness = &self.plan.freshness;
        DataReport {
            lag: self.state.lag(&self.fleet, region, now),
            behind: freshness.behind.contains(region),
            role,
            serves: role.map(|_| freshness.serves(&self.fleet, region).clone()),
        }
    }
}
