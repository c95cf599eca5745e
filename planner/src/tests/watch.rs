//! A fleet with its state and plan, driven second by second.

use crate::health::Reason;
use crate::intent::Intents;
use crate::plan::{Plan, plan};
use crate::signal::{AttemptCounts, Figures, Millis, Observation, Reading};
use crate::state::FleetState;
use crate::topology::Topology;
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST, example};
use meridian_policy::filter_policy::Lane;
use meridian_policy::fleet::Fleet;
use meridian_policy::source::{Preset, SignalFormat, SignalSource};
use std::time::Duration;

/// The example fleet with a source for every pool.
pub(super) fn watched() -> Fleet {
    let mut fleet = example();
    for (name, region) in &mut fleet.regions {
        region.signals = vec![SignalSource {
            url: format!("http://{name}/metrics"),
            format: SignalFormat::Preset(Preset::Vllm),
            token: None,
            tls: None,
            model: Some(LLAMA.parse().unwrap()),
            max_running: None,
            every: Duration::from_secs(1),
        }];
    }
    fleet
}

/// A fleet with its state and plan, driven second by second.
pub(super) struct Watch {
    pub(super) fleet: Topology,
    pub(super) state: FleetState,
    pub(super) intents: Intents,
    pub(super) plan: Plan,
    pub(super) now: u64,
}

impl Watch {
    pub(super) fn new(fleet: Fleet) -> Self {
        Self {
            fleet: Topology::new(fleet),
            state: FleetState::default(),
            intents: Intents::default(),
            plan: Plan::default(),
            now: 1_000_000_000,
        }
    }

    pub(super) fn report(&mut self, region: &str, readings: Vec<Reading>) {
        let known = self.fleet.regions.get(region);
        let source = known.map(|known| known.signals[0].key());
        self.report_from(region, &source.unwrap_or_default(), 0, readings);
    }

    /// Reports from any source, `age` milliseconds ago.
    pub(super) fn report_from(
        &mut self,
        region: &str,
        source: &str,
        age: u64,
        readings: Vec<Reading>,
    ) {
        let observation = Observation {
            region: region.parse().unwrap(),
            source: source.into(),
            at: Millis(self.now - age),
            readings,
        };
        self.state.apply(&self.fleet, &observation);
    }

    pub(super) fn tick(&mut self) {
        self.plan = plan(
            &self.fleet,
            &self.state,
            &self.intents,
            &self.plan,
            Millis(self.now),
        );
        self.now += 1000;
    }

    /// Reports this KV cache usage for every region, for some seconds.
    pub(super) fn at(&mut self, west: f64, east: f64, eu: f64, seconds: usize) {
        for _ in 0..seconds {
            for (region, use_of_it) in [(WEST, west), (EAST, east), (EU, eu)] {
                self.report(region, vec![kv(use_of_it)]);
            }
            self.tick();
        }
    }

    /// Reports the other regions and plans, after us-west-2 has reported.
    pub(super) fn at_others(&mut self, east: f64, eu: f64) {
        self.report(EAST, vec![kv(east)]);
        self.report(EU, vec![kv(eu)]);
        self.tick();
    }

    pub(super) fn share(&self, gateway: &str, zone: &str) -> Option<u8> {
        let placement = self.plan.placement(
            &gateway.parse().unwrap(),
            &zone.parse().unwrap(),
            &LLAMA.parse().unwrap(),
        );
        placement.map(|placement| placement.home_share)
    }

    pub(super) fn weights(&self, gateway: &str) -> Vec<(&str, u32)> {
        let placement = &self.plan.gateways[gateway]["global"][LLAMA];
        let weights = placement.overflow.iter();
        weights
            .map(|(region, weight)| (region.as_str(), *weight))
            .collect()
    }

    pub(super) fn reasons(&self, region: &str) -> Vec<Reason> {
        let health = &self.plan.pools[region][LLAMA];
        health.reasons.iter().copied().collect()
    }
}

pub(super) fn server(figures: Figures) -> Reading {
    Reading::Server {
        model: LLAMA.parse().unwrap(),
        engine: "0".into(),
        figures,
    }
}

pub(super) fn kv(kv_cache: f64) -> Reading {
    server(Figures {
        kv_cache: Some(kv_cache),
        ..Default::default()
    })
}

/// Attempts of us-west-2's gateway at its own pool.
pub(super) fn attempts(answered: f64, overloaded: f64, failed: f64) -> Reading {
    let counts = AttemptCounts {
        answered,
        overloaded,
        failed,
        broken: 0.0,
    };
    attempts_to("global", Lane::Home, WEST, counts)
}

/// Attempts of a zone's callers at a region.
pub(super) fn attempts_to(zone: &str, lane: Lane, to: &str, counts: AttemptCounts) -> Reading {
    Reading::Attempts {
        zone: zone.parse().unwrap(),
        model: LLAMA.parse().unwrap(),
        lane,
        to: to.parse().unwrap(),
        counts,
    }
}

/// Counts of answers and failures.
pub(super) fn counts(answered: f64, failed: f64) -> AttemptCounts {
    AttemptCounts {
        answered,
        failed,
        ..AttemptCounts::default()
    }
}
