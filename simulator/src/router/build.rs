//! Builds the router of a strategy.

use super::interface::Router;
use super::latency::Latency;
use super::least_load::LeastLoad;
use super::meridian::Meridian;
use super::oracle::Oracle;
use super::queue::QueuePush;
use super::server_picker::ServerPicker;
use super::simple::{FixedWeights, Nearest, Priority, RoundRobin, ZoneAware};
use crate::case::Case;
use crate::strategy::Strategy;
use rand::rand_core::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The router of a strategy.
pub fn build(strategy: Strategy, case: &Case, seed: u64) -> Box<dyn Router> {
    let random = ChaCha8Rng::seed_from_u64(seed);
    match strategy {
        Strategy::Nearest => Box::new(Nearest),
        Strategy::RoundRobin => Box::new(RoundRobin::default()),
        Strategy::FixedWeights => Box::new(FixedWeights::new(case, random)),
        Strategy::Priority => Box::new(Priority::default()),
        Strategy::Latency => Box::new(Latency::new(random)),
        Strategy::ZoneAware => Box::new(ZoneAware::new(case, random)),
        Strategy::LeastLoad => Box::new(LeastLoad::new(case)),
        Strategy::QueuePush => Box::new(QueuePush::new(case)),
        Strategy::Meridian => Box::new(ServerPicker::new(case, Meridian::new(case))),
        Strategy::Oracle => Box::new(Oracle::new(case)),
        Strategy::MeridianServerOnly => Box::new(ServerPicker::new(case, Nearest)),
        Strategy::MeridianRegionOnly => Box::new(Meridian::new(case)),
    }
}
