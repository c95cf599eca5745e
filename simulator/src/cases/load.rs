//! The load of regions: demand divided by goodput, over the time of a case.

use crate::topology::{EIGHT, RegionLocation, THREE};
use std::f64::consts::TAU;

/// Length of a case, in seconds.
pub const SECONDS: f64 = 1200.0;

/// Hour (UTC) at which cases in real time start: afternoon on the American east coast.
const START_HOUR: f64 = 22.0;
/// Peak demand of the whole fleet divided by its goodput.
const FLEET_LOAD: f64 = 0.75;
/// Callers per server in the hot region, relative to the other regions.
const HOT_WEIGHT: f64 = 1.5;
/// The region with the most demand in cases that have one.
const HOT_REGION: &str = "us-east-1";

/// The load of each region over time.
pub enum Load {
    /// The load of a day in each region's time zone, in real time.
    RealTime,
    /// The load of a day in each region's time zone, compressed into the length of a case.
    WholeDay,
    /// A function of region index and second.
    Custom(fn(usize, f64) -> f64),
}

impl Load {
    /// The load by region index and second. `day` is the load over a day in local time, relative to its peak.
    pub fn over_time(
        &self,
        locations: &[RegionLocation],
        day: &[f64],
    ) -> Box<dyn Fn(usize, f64) -> f64> {
        let speed = match self {
            Self::Custom(load) => return Box::new(*load),
            Self::RealTime => 1.0 / 3600.0,
            Self::WholeDay => 24.0 / SECONDS,
        };
        let relative = |location: &RegionLocation, now: f64| {
            let hour = START_HOUR + now * speed + location.utc_offset;
            let position = hour.rem_euclid(24.0) / 24.0 * day.len() as f64;
            let (slot, rest) = (position as usize, position.fract());
            let at = |slot: usize| day[slot % day.len()];
            at(slot) * (1.0 - rest) + at(slot + 1) * rest
        };
        let weight = |location: &RegionLocation| match location.name {
            HOT_REGION => HOT_WEIGHT,
            _ => 1.0,
        };
        let loads = |now: u32| -> Vec<f64> {
            let at =
                |location: &RegionLocation| weight(location) * relative(location, f64::from(now));
            locations.iter().map(at).collect()
        };
        let loads: Vec<Vec<f64>> = (0..=SECONDS as u32).map(loads).collect();
        let sums = loads.iter().map(|loads| loads.iter().sum());
        let scale = FLEET_LOAD * locations.len() as f64 / sums.fold(0.0, f64::max);
        Box::new(move |region, now| scale * loads[(now as usize).min(SECONDS as usize)][region])
    }
}

/// Index of the hot region.
pub fn hot_region(locations: &[RegionLocation]) -> usize {
    let hot = locations
        .iter()
        .position(|location| location.name == HOT_REGION);
    hot.unwrap_or(0)
}

/// Equal load everywhere.
pub fn steady(_region: usize, _now: f64) -> f64 {
    0.6
}

/// The hot region's load is 2.2 times as high from second 400 to second 800.
pub fn step(region: usize, now: f64) -> f64 {
    let is_up = region == hot_region(&THREE) && (400.0..800.0).contains(&now);
    0.55 * if is_up { 2.2 } else { 1.0 }
}

/// One sine wave per case, shifted by each region's time zone.
pub fn offset_days(region: usize, now: f64) -> f64 {
    let phase = now / SECONDS + EIGHT[region].utc_offset / 24.0;
    let peak = if EIGHT[region].in_eea { 0.9 } else { 1.15 };
    peak * (0.6 + 0.4 * (phase * TAU).sin())
}

/// The hot region's load rises to three times its value within 30 s, then decays with a time constant of 120 s.
pub fn promotion(region: usize, now: f64) -> f64 {
    if region != hot_region(&EIGHT) || now < 400.0 {
        return 0.55;
    }
    let up = ((now - 400.0) / 30.0).min(1.0);
    let down = (-(now - 430.0).max(0.0) / 120.0).exp();
    0.55 * (1.0 + 2.0 * up * down)
}

/// A different load in every region.
pub fn uneven(region: usize, _now: f64) -> f64 {
    [0.9, 0.5, 0.8, 0.7, 0.75, 0.6, 0.95, 0.85][region]
}

/// Equal demand for regions of eight, six and four servers.
pub fn equal_demand(region: usize, _now: f64) -> f64 {
    [0.54, 0.72, 1.08][region]
}

/// High load in the hot region alone.
pub fn one_busy(region: usize, _now: f64) -> f64 {
    if region == hot_region(&EIGHT) {
        0.95
    } else {
        0.6
    }
}
