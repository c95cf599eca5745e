//! A fleet, watched second by second.

use crate::health::Reason;
use crate::plan::{Plan, plan};
use crate::signal::{AttemptCounts, Figures, Millis, Observation, Reading};
use crate::state::FleetState;
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST, example};
use meridian_policy::filter_policy::Lane;
use meridian_policy::fleet::Fleet;
use meridian_policy::source::{Preset, SignalFormat, SignalSource};
use std::time::Duration;

/// The example, with a source for every pool.
pub(super) fn watched() -> Fleet {
    let mut fleet = example();
    for (name, region) in &mut fleet.regions {
        region.signals = vec![SignalSource {
            url: format!("http://{name}/metrics"),
            format: SignalFormat::Preset(Preset::Vllm),
            token: None,
            tls: None,
            model: Some(LLAMA.into()),
            max_running: None,
            every: Duration::from_secs(1),
        }];
    }
    fleet
}

/// A fleet, watched second by second.
pub(super) struct Watch {
    pub(super) fleet: Fleet,
    pub(super) state: FleetState,
    pub(super) plan: Plan,
    pub(super) now: u64,
}

impl Watch {
    pub(super) fn new(fleet: Fleet) -> Self {
        Self {
            fleet,
            state: FleetState::default(),
            plan: Plan::default(),
            now: 1_000_000_000,
        }
    }

    pub(super) fn see(&mut self, region: &str, readings: Vec<Reading>) {
        let known = self.fleet.regions.get(region);
        let source = known.map(|known| known.signals[0].key());
        self.hear(region, &source.unwrap_or_default(), 0, readings);
    }

    /// Of any source, and as old as this, in milliseconds.
    pub(super) fn hear(&mut self, region: &str, source: &str, age: u64, readings: Vec<Reading>) {
        let observation = Observation {
            region: region.into(),
            source: source.into(),
            at: Millis(self.now - age),
            readings,
        };
        self.state.apply(&self.fleet, &observation);
    }

    pub(super) fn tick(&mut self) {
        self.plan = plan(&self.fleet, &self.state, &self.plan, Millis(self.now));
        self.now += 1000;
    }

    /// Every region at this KV-cache use, for some seconds.
    pub(super) fn at(&mut self, west: f64, east: f64, eu: f64, seconds: usize) {
        for _ in 0..seconds {
            for (region, use_of_it) in [(WEST, west), (EAST, east), (EU, eu)] {
                self.see(region, vec![kv(use_of_it)]);
            }
            self.tick();
        }
    }

    /// A second in which us-west-2 has said already how it is.
    pub(super) fn at_others(&mut self, east: f64, eu: f64) {
        self.see(EAST, vec![kv(east)]);
        self.see(EU, vec![kv(eu)]);
        self.tick();
    }

    pub(super) fn share(&self, gateway: &str, zone: &str) -> Option<u8> {
        let placement = self
            .plan
            .placement(&gateway.into(), &zone.into(), &LLAMA.into());
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
        model: LLAMA.into(),
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

/// Attempts of us-west-2's own gateway at its pool.
pub(super) fn attempts(answered: f64, overloaded: f64, failed: f64) -> Reading {
    let counts = AttemptCounts {
        answered,
        overloaded,
        failed,
    };
    tried("global", Lane::Home, WEST, counts)
}

/// Attempts of a zone's callers at a region.
pub(super) fn tried(zone: &str, lane: Lane, to: &str, counts: AttemptCounts) -> Reading {
    Reading::Attempts {
        zone: zone.into(),
        model: LLAMA.into(),
        lane,
        to: to.into(),
        counts,
    }
}

/// Answers, and failures.
pub(super) fn counts(answered: f64, failed: f64) -> AttemptCounts {
    AttemptCounts {
        answered,
        overloaded: 0.0,
        failed,
    }
}
