//! What moved, and what moved it, as values.

use crate::health::{Health, Reason};
use crate::placement::Placement;
use crate::schema::{Model, Name};
use meridian_policy::{ModelName, RegionName, ZoneName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// One thing that a plan moved, and its causes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Move {
    /// What moved.
    #[serde(flatten)]
    pub moved: Moved,
    /// What moved it. Empty if no signal, intent or edit tells.
    pub causes: Vec<Cause>,
}

/// One thing that a plan moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Moved {
    /// The placement of a (zone, model) at a gateway.
    Placement {
        /// The gateway, by its region.
        #[schema(value_type = Name)]
        gateway: RegionName,
        /// The zone.
        #[schema(value_type = Name)]
        zone: ZoneName,
        /// The model.
        #[schema(value_type = Model)]
        model: ModelName,
        /// Before; `null` for a new placement.
        before: Option<Share>,
        /// Since then; `null` for one that is gone.
        after: Option<Share>,
    },
    /// The health of a pool.
    Health {
        /// The region.
        #[schema(value_type = Name)]
        region: RegionName,
        /// The model.
        #[schema(value_type = Model)]
        model: ModelName,
        /// Before; `null` for a new pool.
        before: Option<Condition>,
        /// Since then; `null` for one that is gone.
        after: Option<Condition>,
    },
    /// The part of the batch requests that a pool takes.
    BatchGate {
        /// The region.
        #[schema(value_type = Name)]
        region: RegionName,
        /// The model.
        #[schema(value_type = Model)]
        model: ModelName,
        /// Percent before.
        before: u8,
        /// Percent since then.
        after: u8,
    },
    /// A region's data is too old, or no longer.
    Freshness {
        /// The region.
        #[schema(value_type = Name)]
        region: RegionName,
        /// Whether it is too old.
        behind: bool,
    },
    /// The region whose database serves retrieval at a region.
    Retrieval {
        /// The region.
        #[schema(value_type = Name)]
        region: RegionName,
        /// Whose database served before.
        #[schema(value_type = Name)]
        before: RegionName,
        /// Whose database serves since then.
        #[schema(value_type = Name)]
        after: RegionName,
    },
}

/// Where the requests of a placement go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Share {
    /// Percent of the requests that the first region keeps.
    pub home_share: u8,
    /// The regions that take the others, by weight. With a share of 100 those that would.
    #[schema(value_type = BTreeMap<String, u32>)]
    pub overflow: BTreeMap<RegionName, u32>,
}

/// How healthy a pool is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Condition {
    /// No other region sends requests to it.
    pub down: bool,
    /// Why it is not healthy.
    pub reasons: BTreeSet<Reason>,
}

/// What moved something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// A signal is above its limit.
    Above(Crossing),
    /// A signal is below its limit.
    Below(Crossing),
    /// No source of a pool reports its load any more.
    Silent(Pool),
    /// The sources of a pool report again.
    Reporting(Pool),
    /// A pool serves no longer, by its health.
    PoolLeft(Pool),
    /// A pool serves again, by its health.
    PoolReturned(Pool),
    /// An intent is in force.
    Intent {
        /// Its number.
        number: u64,
    },
    /// An intent has ended.
    IntentEnded {
        /// Its number.
        number: u64,
    },
    /// The fleet file was edited.
    Edit {},
}

/// A signal, and the limit that it has crossed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Crossing {
    /// The signal.
    pub signal: Signal,
    /// The region that it is of.
    #[schema(value_type = Name)]
    pub region: RegionName,
    /// The model of the pool; absent for a signal of the region's data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Model>)]
    pub model: Option<ModelName>,
    /// Its value, in the unit of the signal.
    pub value: f64,
    /// The limit.
    pub limit: f64,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pool {
    /// The region.
    #[schema(value_type = Name)]
    pub region: RegionName,
    /// The model.
    #[schema(value_type = Model)]
    pub model: ModelName,
}

/// A signal that has a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Utilization as the planner projects it, a ratio.
    Utilization,
    /// Waiting requests.
    Queue,
    /// 95th percentile of the time to the first token, in seconds.
    FirstToken,
    /// Failures over answers, a ratio.
    Errors,
    /// Replication lag of the region's data, in seconds.
    ReplicationLag,
    /// Healthy endpoints.
    Endpoints,
}

impl Signal {
    /// The signal of a reason; `None` for a reason without a limit.
    pub(super) fn of(reason: Reason) -> Option<Self> {
        match reason {
            Reason::NoEndpoints => Some(Self::Endpoints),
            Reason::Errors => Some(Self::Errors),
            Reason::QueueDepth => Some(Self::Queue),
            Reason::FirstToken => Some(Self::FirstToken),
            Reason::ReplicationLag => Some(Self::ReplicationLag),
            Reason::Stale | Reason::Drained => None,
        }
    }
}

impl From<Moved> for Move {
    /// Without causes.
    fn from(moved: Moved) -> Self {
        Self {
            moved,
            causes: Vec::new(),
        }
    }
}

impl Moved {
    /// By how many percentage points a home share moved; 0 for everything else.
    pub(super) fn points(&self) -> u8 {
        let share = |of: &Option<Share>| of.as_ref().map_or(100, |share| share.home_share);
        match self {
            Self::Placement { before, after, .. } => share(before).abs_diff(share(after)),
            _ => 0,
        }
    }
}

impl From<&Placement> for Share {
    fn from(placement: &Placement) -> Self {
        Self {
            home_share: placement.home_share,
            overflow: placement.overflow.clone(),
        }
    }
}

impl From<&Health> for Condition {
    fn from(health: &Health) -> Self {
        Self {
            down: health.down,
            reasons: health.reasons.clone(),
        }
    }
}
