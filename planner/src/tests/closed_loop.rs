//! The planner in the loop: what it decides changes what it is told.

use super::watch::{Watch, server, watched};
use crate::signal::{Figures, Reading};
use meridian_fixtures::fleets::{EAST, EU, LLAMA, WEST};
use std::collections::BTreeMap;

const REGIONS: [&str; 3] = [WEST, EAST, EU];

/// Three regions of the same size, and the load that their callers bring, where 1 fills one of them.
struct World {
    watch: Watch,
    offered: BTreeMap<&'static str, f64>,
    /// What each region has in work: it follows what comes with a delay, as long generations do.
    busy: BTreeMap<&'static str, f64>,
    /// What waits.
    waiting: BTreeMap<&'static str, f64>,
    /// The part of the way that it goes in a second, 0 to 1.
    pace: f64,
    noise: f64,
    seconds: u32,
    /// Shares of each gateway, second by second.
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

    /// What comes to a region now, by every gateway's share and weights.
    fn request_rate_to(&self, region: &str) -> f64 {
        let from = |gateway: &&str| {
            let offered = self.offered[gateway];
            let plan = &self.watch.plan;
            let Some(placement) =
                plan.placement(&(*gateway).into(), &"global".into(), &LLAMA.into())
            else {
                return if *gateway == region { offered } else { 0.0 };
            };
            let part = if *gateway == region {
                f64::from(placement.home_share)
            } else {
                placement.part(&region.into())
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
                self.watch.see(region, vec![server(figures)]);
            }
            self.watch.tick();
            let share = |region| self.watch.share(region, "global").unwrap();
            self.shares.push(REGIONS.map(share));
        }
    }

    /// How often shares went down, and up, in the last seconds: by one gateway, the one at which it was most often.
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
fn what_is_too_much_for_one_is_shared_and_rests() {
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
            // What is over is over.
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
fn where_all_have_too_much_everyone_keeps_its_own() {
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
fn a_region_that_gets_busy_itself_is_relieved_of_its_guests() {
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
        let guests = world.load()[1] - 0.85 * f64::from(world.shares.last().unwrap()[1]) / 100.0;
        assert!(
            guests < 0.05,
            "{pace}, {noise}: {guests} of guests, {:?}",
            world.shares.last()
        );
    }
}

#[test]
fn a_dead_region_s_guests_go_where_there_is_room_and_home() {
    let mut world = World::new([1.5, 0.3, 0.6], 1.0, 0.0);
    world.run(60);
    assert!(world.load()[1] > 0.6);
    let before = world.load()[2];
    let dead = Reading::Endpoints {
        model: LLAMA.into(),
        healthy: 0,
        total: 1,
    };
    world.offered.insert(EAST, 0.0);
    for _ in 0..60 {
        world.watch.see(EAST, vec![dead.clone()]);
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
fn what_is_on_its_way_down_is_waited_for() {
    for pace in [0.2, 0.1, 0.07] {
        let mut world = World::new([1.0, 0.3, 0.3], pace, 0.0);
        world.busy.insert(WEST, 1.0);
        world.run(300);
        let least = world.shares.iter().map(|shares| shares[0]).min().unwrap();
        assert!(least >= 70, "{pace}: {least}, where 75 is enough");
    }
}
