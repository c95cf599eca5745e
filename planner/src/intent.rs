//! What operators have said, as opposed to what was measured: drains, overrides and freezes. Each ends at a time that it names.

mod check;

pub use check::{Objection, objections};

use crate::placement::Placement;
use crate::plan::Plan;
use crate::schema::{Model, Name};
use crate::signal::Millis;
use crate::topology::Topology;
use crate::weights;
use meridian_policy::{ModelName, RegionName, ZoneName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use utoipa::ToSchema;

/// One intent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Intent {
    /// What is wanted.
    pub action: Action,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub why: String,
    /// When it was said, in milliseconds since the Unix epoch.
    pub created: Millis,
    /// When it ends.
    pub expires: Millis,
    /// It was accepted in spite of these objections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forced: Vec<String>,
}

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Callers leave a region, or one pool of it, in steps as others have room. No overflow goes there. It stays in failover chains.
    Drain {
        /// The region.
        #[schema(value_type = Name)]
        region: RegionName,
        /// Its pool of this model alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<Model>)]
        model: Option<ModelName>,
        /// Once nobody is left it counts as down: no failover goes there either.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        hard: bool,
    },
    /// A placement is what the operator says, whatever is measured.
    Override {
        /// The gateway.
        #[schema(value_type = Name)]
        gateway: RegionName,
        /// The zone of callers.
        #[schema(value_type = Name)]
        zone: ZoneName,
        /// The model.
        #[schema(value_type = Model)]
        model: ModelName,
        /// Percent of the requests that the first region keeps.
        #[schema(maximum = 100)]
        home_share: u8,
        /// The regions that take the others, by weight.
        #[serde(default)]
        #[schema(value_type = BTreeMap<String, u32>)]
        overflow: BTreeMap<RegionName, u32>,
    },
    /// No plan moves a request. Health still counts: nothing is sent to pools that are down.
    Freeze {},
}

impl Action {
    /// All kinds, as in JSON and in metrics.
    pub const KINDS: [&'static str; 3] = ["drain", "override", "freeze"];

    /// Its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Drain { .. } => "drain",
            Self::Override { .. } => "override",
            Self::Freeze {} => "freeze",
        }
    }

    /// Whether this takes the place of another one: it says something else about the same.
    pub fn replaces(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Drain { region, model, .. },
                Self::Drain {
                    region: other,
                    model: others,
                    ..
                },
            ) => (region, model) == (other, others),
            (
                Self::Override {
                    gateway,
                    zone,
                    model,
                    ..
                },
                Self::Override {
                    gateway: other,
                    zone: others,
                    model: of,
                    ..
                },
            ) => (gateway, zone, model) == (other, others, of),
            (Self::Freeze {}, Self::Freeze {}) => true,
            _ => false,
        }
    }

    /// Whether it drains a pool.
    pub(crate) fn drains(&self, of: &RegionName, pool: &ModelName) -> bool {
        match self {
            Self::Drain { region, model, .. } => {
                region == of && model.as_ref().is_none_or(|model| model == pool)
            }
            Self::Override { .. } | Self::Freeze {} => false,
        }
    }

    /// Whether it sets a placement.
    pub(crate) fn places(&self, place: (&RegionName, &ZoneName, &ModelName)) -> bool {
        match self {
            Self::Override {
                gateway,
                zone,
                model,
                ..
            } => (gateway, zone, model) == place,
            Self::Drain { .. } | Self::Freeze {} => false,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drain {
                region,
                model,
                hard,
            } => {
                let hard = if *hard { " hard" } else { "" };
                match model {
                    Some(model) => write!(f, "drain{hard} {region} {model}"),
                    None => write!(f, "drain{hard} {region}"),
                }
            }
            Self::Override {
                gateway,
                zone,
                model,
                home_share,
                overflow,
            } => {
                write!(f, "override {gateway} {zone} {model} home={home_share}")?;
                let mut parts = overflow.iter();
                parts.try_for_each(|(region, weight)| write!(f, " {region}={weight}"))
            }
            Self::Freeze {} => f.write_str("freeze"),
        }
    }
}

/// The intents in force, by number. Intents that have ended change nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = BTreeMap<String, Intent>)]
pub struct Intents(pub BTreeMap<u64, Intent>);

/// How a pool is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    /// It stays in failover chains.
    Soft,
    /// Once nobody is left it counts as down.
    Hard,
}

impl Intents {
    /// Those that have not ended.
    pub fn active(&self, now: Millis) -> impl Iterator<Item = (u64, &Intent)> {
        let all = self.0.iter();
        all.filter(move |(_, intent)| now < intent.expires)
            .map(|(number, intent)| (*number, intent))
    }

    fn actions(&self, now: Millis) -> impl Iterator<Item = &Action> {
        self.active(now).map(|(_, intent)| &intent.action)
    }

    pub(crate) fn is_frozen(&self, now: Millis) -> bool {
        self.actions(now).any(|action| *action == Action::Freeze {})
    }

    /// Whether a pool is drained, and how.
    pub(crate) fn drain(&self, of: &RegionName, pool: &ModelName, now: Millis) -> Option<Drain> {
        let drains = self.actions(now).filter_map(|action| match action {
            Action::Drain { hard, .. } if action.drains(of, pool) => Some(*hard),
            _ => None,
        });
        let is_hard = drains.reduce(|one, other| one || other)?;
        Some(if is_hard { Drain::Hard } else { Drain::Soft })
    }

    /// What an operator has said of a placement: the last word. Only regions in `others` that `serve` get requests.
    pub(crate) fn placement(
        &self,
        place: (&RegionName, &ZoneName, &ModelName),
        serves: impl Fn(&RegionName) -> bool,
        now: Millis,
    ) -> Option<Placement> {
        let overrides = self.actions(now).filter_map(|action| match action {
            Action::Override {
                home_share,
                overflow,
                ..
            } if action.places(place) => Some((*home_share, overflow)),
            _ => None,
        });
        let (home_share, overflow) = overrides.last()?;
        let serving = overflow.iter().filter(|(region, _)| serves(region));
        let parts = serving.map(|(region, weight)| (region, f64::from(*weight)));
        let overflow = weights::proportional(parts);
        Some(Placement {
            home_share: if overflow.is_empty() { 100 } else { home_share },
            overflow,
            ..Placement::home()
        })
    }
}

/// Whether no placement sends anything to a pool first, by a plan.
pub(crate) fn is_left(
    topology: &Topology,
    plan: &Plan,
    region: &RegionName,
    model: &ModelName,
) -> bool {
    let mut is_left = true;
    topology.each_choice(|(gateway, zone, of), (first, _)| {
        if of == model {
            let placement = plan.placement(gateway, zone, of);
            let sends = placement.map_or(first == region, |placement| {
                let is_first = first == region && placement.home_share > 0;
                is_first || placement.part(region) > 0.0
            });
            is_left &= !sends;
        }
    });
    is_left
}
