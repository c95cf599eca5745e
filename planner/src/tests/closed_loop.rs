//! Closed-loop tests: the plan changes the load that the planner observes.

use super::watch::{Watch, server, watched};
use crate::signal::{Figures, Reading};
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST};
use std::collections::BTreeMap;

const REGIONS: [&str; 3] = [WEST, EAST, EU];

/// Three regions of equal capacity and the load of their callers. A load of 1 fills a region.
struct World {
    watch: Watch,
    offered: BTreeMap<&'static str, f64>,
    /// Running load of each region. It follows the arriving load with a delay, as with long generations.
    busy: BTreeMap<&'static str, f64>,
    /// Queued requests of each region.
    waiting: BTreeMap<&'static str, f64>,
    /// Fraction of the remaining difference that the running load covers in a second, 0 to 1.
    pace: f64,
    noise: f64,
    seconds: u32,
    /// Home share of each gateway, by second.
    shares: Vec<[u8; 3]>,
}

impl World {
    fn new(offered: [f64; 3], pace: f64, noise: f64) -> Self {
        let all = |value: [f64; 3]| REGIONS.into_iter().zip(value).collect();
        Self {
            watch: Watch::new(watched()),
            offered: all(offered),
            busy: all(offered.map(|load| load.min(0.7))),
            waiting: all([0.0; 3]),
            pace,
            noise,
            seconds: 0,
            shares: Vec::new(),
        }
    }

    /// Load that arrives at a region, by the home shares and weights of all gateways.
    fn request_rate_to(&self, region: &str) -> f64 {
        let from = |gateway: &&str| {
            let offered = self.offered[gateway];
            let plan = &self.watch.plan;
            let Some(placement) = plan.placement(
                &(*gateway).parse().unwrap(),
                &"global".parse().unwrap(),
                &LLAMA.parse().unwrap(),
            ) else {
                return if *gateway == region { offered } else { 0.0 };
            };
            let part = if *gateway == region {
                f64::from(placement.home_share)
            } else {
                placement.part(&region.parse().unwrap())
            };
            offered * part / 100.0
        };
        REGIONS.iter().map(from).sum()
    }

    fn run(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.seconds += 1;
            for region in REGIONS {
                let request_rate = self.request_rate_to(region);
                let busy = self.busy.get_mut(region).unwrap();
                *busy += (request_rate - *busy) * self.pace;
                let waiting = self.waiting.get_mut(region).unwrap();
                *waiting = (*waiting + (*busy - 1.0) * 20.0).max(0.0);
                *busy = busy.min(1.0_f64.max(request_rate));
                let pseudo = f64::from(
                    (self.seconds * 31 + region.len() as u32).wrapping_mul(2_654_435_761) >> 16,
                );
                let noise = (pseudo / 65_536.0 * 2.0 - 1.0) * self.noise;
                let figures = Figures {
                    kv_cache: Some((*busy + noise).clamp(0.0, 1.0)),
                    waiting: Some(waiting.floor()),
                    ..Default::default()
                };
                self.watch.report(region, vec![server(figures)]);
            }
            self.watch.tick();
            let share = |region| self.watch.share(region, "global").unwrap();
            self.shares.push(REGIONS.map(share));
        }
    }

    /// Number of decreases and increases of a home share in the last seconds, for the gateway with the most of each.
    fn swings(&self, last: usize) -> (usize, usize) {
        let late = &self.shares[self.shares.len() - last..];
        let count = |which: usize, went: fn(u8, u8) -> bool| {
            let pairs = late.windows(2);
            pairs
                .filter(|pair| went(pair[0][which], pair[1][which]))
                .count()
        };
        let most = |went: fn(u8, u8) -> bool| (0..3).map(|which| count(which, went)).max().unwrap();
        (
            most(|before, now| now < before),
            most(|before, now| now > before),
        )
    }

    fn load(&self) -> [f64; 3] {
        REGIONS.map(|region| self.request_rate_to(region))
    }
}

#[test]
fn an_overload_is_shared_and_the_shares_settle() {
    for (pace, noise) in [(1.0, 0.0), (1.0, 0.02), (0.2, 0.01), (0.07, 0.01)] {
        for west in [0.95, 1.2, 1.5] {
            let mut world = World::new([west, 0.3, 0.3], pace, noise);
            world.run(300);
            let load = world.load();
            assert!(
                load.iter().all(|load| *load <= 0.83),
                "{west}, {pace}, {noise}: {load:?}"
            );
            let (down, up) = world.swings(150);
            assert!(
                down <= 2 && up <= 4,
                "{west}, {pace}, {noise}: {:?}",
                &world.shares[150..]
            );
            // After the overload all traffic returns.
            world.offered.insert(WEST, 0.4);
            world.run(120);
            assert_eq!(
                world.shares.last().unwrap(),
                &[100; 3],
                "{west}, {pace}, {noise}"
            );
        }
    }
}

#[test]
fn shares_settle_while_every_region_is_overloaded() {
    for (pace, noise) in [(1.0, 0.0), (1.0, 0.02), (0.2, 0.01)] {
        let mut world = World::new([1.1, 0.9, 1.0], pace, noise);
        world.run(300);
        let (down, up) = world.swings(200);
        assert!(
            down <= 2 && up <= 2,
            "{pace}, {noise}: {:?}",
            &world.shares[100..]
        );
    }
}

#[test]
fn a_region_that_becomes_busy_loses_its_overflow() {
    for (pace, noise) in [(1.0, 0.0), (1.0, 0.02), (0.2, 0.01)] {
        let mut world = World::new([1.2, 0.3, 0.9], pace, noise);
        world.run(120);
        assert!(world.load()[1] > 0.5, "{:?}", world.load());
        world.offered.insert(EAST, 0.85);
        world.run(200);
        let (down, up) = world.swings(100);
        assert!(
            down <= 3 && up <= 5,
            "{pace}, {noise}: {:?}",
            &world.shares[220..]
        );
        let overflow = world.load()[1] - 0.85 * f64::from(world.shares.last().unwrap()[1]) / 100.0;
        assert!(
            overflow < 0.05,
            "{pace}, {noise}: overflow of {overflow}, {:?}",
            world.shares.last()
        );
    }
}

#[test]
fn overflow_of_a_dead_region_moves_to_headroom_and_home() {
    let mut world = World::new([1.5, 0.3, 0.6], 1.0, 0.0);
    world.run(60);
    assert!(world.load()[1] > 0.6);
    let before = world.load()[2];
    let dead = Reading::Endpoints {
        model: LLAMA.parse().unwrap(),
        healthy: 0,
        total: 1,
    };
    world.offered.insert(EAST, 0.0);
    for _ in 0..60 {
        world.watch.report(EAST, vec![dead.clone()]);
        world.run(1);
        assert!(
            world.load()[1] < 1e-9 || world.shares.len() <= 61,
            "{:?}",
            world.load()
        );
        assert!(
            world.load()[2] <= 0.81,
            "the third was at {before}: {:?}",
            world.load()
        );
    }
}

#[test]
fn a_falling_utilization_stops_shedding() {
    for pace in [0.2, 0.1, 0.07] {
        let mut world = World::new([1.0, 0.3, 0.3], pace, 0.0);
        world.busy.insert(WEST, 1.0);
        world.run(300);
        let least = world.shares.iter().map(|shares| shares[0]).min().unwrap();
        assert!(least >= 70, "{pace}: {least}, where 75 is enough");
    }
}
