//! How much a region's callers ask for, over what its replicas serve as promised.

use crate::topology::{EIGHT, Place};
use std::f64::consts::TAU;

/// Length of a case, in seconds.
pub const SECONDS: f64 = 1200.0;

/// The hour (UTC) of the cases whose clock runs as ours: the afternoon of the American east coast.
const AFTERNOON_IN_THE_EAST: f64 = 22.0;
/// Demand over capacity of the whole fleet when it is highest: it has a quarter to spare, in other places than where it is asked for.
const FLEET: f64 = 0.75;
/// The east's callers for each server, over those of other regions.
const EAST: f64 = 1.5;
const EAST_NAME: &str = "us-east-1";

/// A region's demand over its capacity.
pub enum Load {
    /// By each region's clock, which runs as ours.
    Hour,
    /// By each region's clock, which runs through a day in the length of a case.
    WholeDay,
    /// By region and second.
    Own(fn(usize, f64) -> f64),
}

impl Load {
    /// By second and region; `day` is what part of their peak callers ask for, over a day of their own clocks.
    pub fn over_time(&self, places: &[Place], day: &[f64]) -> Box<dyn Fn(usize, f64) -> f64> {
        let speed = match self {
            Self::Own(load) => return Box::new(*load),
            Self::Hour => 1.0 / 3600.0,
            Self::WholeDay => 24.0 / SECONDS,
        };
        let part = |place: &Place, now: f64| {
            let hour = AFTERNOON_IN_THE_EAST + now * speed + place.hours;
            let position = hour.rem_euclid(24.0) / 24.0 * day.len() as f64;
            let (slot, rest) = (position as usize, position.fract());
            let at = |slot: usize| day[slot % day.len()];
            at(slot) * (1.0 - rest) + at(slot + 1) * rest
        };
        let weight = |place: &Place| if place.name == EAST_NAME { EAST } else { 1.0 };
        let loads = |now: u32| -> Vec<f64> {
            let at = |place: &Place| weight(place) * part(place, f64::from(now));
            places.iter().map(at).collect()
        };
        let loads: Vec<Vec<f64>> = (0..=SECONDS as u32).map(loads).collect();
        let sums = loads.iter().map(|loads| loads.iter().sum());
        let scale = FLEET * places.len() as f64 / sums.fold(0.0, f64::max);
        Box::new(move |region, now| scale * loads[(now as usize).min(SECONDS as usize)][region])
    }
}

/// The region that cases make busy.
pub fn east(places: &[Place]) -> usize {
    let east = places.iter().position(|place| place.name == EAST_NAME);
    east.unwrap_or(0)
}

pub fn steady(_region: usize, _now: f64) -> f64 {
    0.6
}

pub fn step(region: usize, now: f64) -> f64 {
    let is_up = region == east(&crate::topology::THREE) && (400.0..800.0).contains(&now);
    0.55 * if is_up { 2.2 } else { 1.0 }
}

pub fn offset_days(region: usize, now: f64) -> f64 {
    let phase = now / SECONDS + EIGHT[region].hours / 24.0;
    let top = if EIGHT[region].eea { 0.9 } else { 1.15 };
    top * (0.6 + 0.4 * (phase * TAU).sin())
}

pub fn promotion(region: usize, now: f64) -> f64 {
    if region != east(&EIGHT) || now < 400.0 {
        return 0.55;
    }
    let up = ((now - 400.0) / 30.0).min(1.0);
    let down = (-(now - 430.0).max(0.0) / 120.0).exp();
    0.55 * (1.0 + 2.0 * up * down)
}

pub fn uneven(region: usize, _now: f64) -> f64 {
    [0.9, 0.5, 0.8, 0.7, 0.75, 0.6, 0.95, 0.85][region]
}

/// As much of each region's callers, for regions of eight, six and four servers.
pub fn alike(region: usize, _now: f64) -> f64 {
    [0.54, 0.72, 1.08][region]
}

pub fn busy_east(region: usize, _now: f64) -> f64 {
    if region == east(&EIGHT) { 0.95 } else { 0.6 }
}
