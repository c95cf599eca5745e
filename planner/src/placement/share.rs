//! A placement as a value: what a plan stores of it.

use super::pools::HomePool;
use crate::signal::Millis;
use meridian_policy::filter_policy::TOTAL_WEIGHT;
use meridian_policy::name::RegionName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::ToSchema;

/// Time after a relapse in which a region takes no traffic back.
pub(super) const RELAPSE_PAUSE: Duration = Duration::from_secs(600);

/// Distribution of a (zone, model)'s requests at one gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Placement {
    /// Percent of the requests that the first region keeps.
    pub home_share: u8,
    /// Overflow regions by weight; the weights sum to [`TOTAL_WEIGHT`]. With a share of 100 they are the regions that
    /// would take overflow. Empty if no region can take any.
    #[schema(value_type = BTreeMap<String, u32>)]
    pub overflow: BTreeMap<RegionName, u32>,
    /// The last change of the share or of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// The share and weights before that change.
    #[serde(rename = "was", default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousShare>,
    /// Shedding had no effect. It stops until utilization rises further.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_effect: bool,
}

/// An earlier share, with its weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PreviousShare {
    /// Percent of the requests that the first region kept.
    pub home_share: u8,
    /// Overflow regions by weight.
    #[schema(value_type = BTreeMap<String, u32>)]
    pub overflow: BTreeMap<RegionName, u32>,
}

impl PreviousShare {
    /// Overflow to a region, in percent of all requests.
    pub fn part(&self, region: &RegionName) -> f64 {
        part(self.home_share, &self.overflow, region)
    }
}

fn part(home_share: u8, overflow: &BTreeMap<RegionName, u32>, region: &RegionName) -> f64 {
    let weight = overflow.get(region).copied().unwrap_or_default();
    f64::from(weight) / f64::from(TOTAL_WEIGHT) * f64::from(100 - home_share)
}

/// The last change of a placement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Time of the change.
    pub at: Millis,
    /// Utilization of the first region at that time.
    #[serde(rename = "saw")]
    pub utilization: f64,
    /// Expected utilization after the change.
    pub expected: f64,
    /// Number of ineffective steps in a row before this one.
    #[serde(default, alias = "vain")]
    pub ineffective_steps: u8,
    /// The first region had no endpoints at that time, or had only some of them back.
    #[serde(default, alias = "fled", skip_serializing_if = "std::ops::Not::not")]
    pub evacuated: bool,
    /// The home share increased.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rose: bool,
    /// The first region shed traffic that it had taken back before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relapsed: bool,
}

impl Placement {
    /// All requests stay at the first region.
    pub fn home() -> Self {
        Self {
            home_share: 100,
            overflow: BTreeMap::new(),
            step: None,
            previous: None,
            without_effect: false,
        }
    }

    /// Overflow to a region, in percent of all requests.
    pub fn part(&self, region: &RegionName) -> f64 {
        part(self.home_share, &self.overflow, region)
    }

    /// Whether all its overflow regions are among these.
    pub(crate) fn is_among(&self, regions: &[RegionName]) -> bool {
        let mut overflow = self.overflow.keys();
        overflow.all(|region| regions.contains(region))
    }

    /// Utilization of the first region per percent of the requests.
    pub fn load(&self, first: &HomePool) -> f64 {
        (first.utilization_or_full() * first.sheddable * first.movable_share).max(0.01)
            / f64::from(self.home_share.max(1))
    }

    /// Whether the first region had no endpoints at the last step, or had only some of them back.
    pub(super) fn was_evacuated(&self) -> bool {
        self.step.is_some_and(|step| step.evacuated)
    }

    /// The last step, if it is younger than [`RELAPSE_PAUSE`].
    pub(super) fn recent_step(&self, now: Millis) -> Option<Step> {
        self.step.filter(|step| now.since(step.at) < RELAPSE_PAUSE)
    }
}
