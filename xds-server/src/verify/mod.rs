//! Verify.
use crate::translate::Snapshot;
use meridian_policy::{Fleet, RegionName};
/// x
pub fn verify(_: &Fleet, _: &RegionName, _: &Snapshot) -> Vec<String> { Vec::new() }
