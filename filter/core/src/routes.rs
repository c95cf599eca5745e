//! A policy's zones and models, compiled for requests: what is looked up per request is named once.

use meridian_policy::filter_policy::{
    BatchRule, FilterPolicy, Fresh, Lane, ModelRule, PerTryTimeout, Split, TurnAway, ZoneRule,
};
use meridian_policy::{ModelName, RegionName, ZoneId, ZoneName};
use std::collections::BTreeMap;
use std::rc::Rc;

/// A region's pool of a model, with the keys under which the workers of an Envoy share what they know of it.
#[derive(Debug, PartialEq, Eq)]
pub struct PoolId {
    /// The region.
    pub region: RegionName,
    /// The model.
    pub model: ModelName,
    /// Region and model in one text. Names hold no spaces.
    pub name: String,
    /// Of the part of its requests that it refuses.
    pub refused_key: String,
    /// Of the part of its requests that is too much by its servers' load reports.
    pub loaded_key: String,
}

impl PoolId {
    /// The pool of a model in a region.
    pub fn new(region: &RegionName, model: &ModelName) -> Self {
        let name = pool_name(region.as_str(), model.as_str());
        Self {
            refused_key: refused_key(&name),
            loaded_key: loaded_key(&name),
            region: region.clone(),
            model: model.clone(),
            name,
        }
    }
}

/// Region and model in one text.
pub fn pool_name(region: &str, model: &str) -> String {
    format!("{region} {model}")
}

/// The shared key of the part of a pool's requests that it refuses.
pub fn refused_key(pool: &str) -> String {
    format!("cooling {pool}")
}

/// The shared key of the part of a pool's requests that is too much by its servers' load reports.
pub fn loaded_key(pool: &str) -> String {
    format!("full {pool}")
}

/// A zone's callers at this gateway.
#[derive(Debug)]
pub struct ZoneRoutes {
    /// The definition that they follow.
    pub definition: ZoneId,
    /// Set where they must not be served from here.
    pub turn_away: Option<TurnAway>,
    /// Requests that name content by URL are refused.
    pub refuse_remote_content: bool,
    /// The models that they can have here.
    pub models: BTreeMap<ModelName, ModelRoute>,
}

/// Where a zone's requests for a model go.
#[derive(Debug)]
pub struct ModelRoute {
    /// The lane that leads to it.
    pub lane: Lane,
    /// The pools that its lanes lead to first, in order, and whether each serves by the plan.
    pub pools: Vec<(Rc<PoolId>, bool)>,
    /// How many of them the chain has, which is the home lane's: the first ones.
    pub depth: usize,
    /// Fallbacks follow them.
    pub has_fallback: bool,
    /// Set where another region may take some of them.
    pub split: Option<SplitRoute>,
    /// Set while some region that could serve them is known to have no fresh data.
    pub fresh: Option<Fresh>,
    /// While none is, the data of some region is of unknown age.
    pub fresh_unknown: bool,
    /// Batch requests.
    pub batch: BatchRoute,
    /// How long an attempt may be silent.
    pub per_try_timeout: Option<PerTryTimeout>,
}

/// What the first region keeps, and the pools that take the rest.
#[derive(Debug)]
pub struct SplitRoute {
    /// The pool that the home lane leads to.
    pub first: Rc<PoolId>,
    /// Percent of the requests that it keeps.
    pub home_share: u8,
    /// Percent that it keeps even while it refuses requests for lack of room.
    pub floor: u8,
    /// The pools that the overflow lane leads to, by weight.
    pub overflow: Vec<(Rc<PoolId>, u32)>,
    /// The share is a fixed part: load moves nobody.
    pub fixed: bool,
    /// The first pool is drained.
    pub drains: bool,
}

/// Batch requests: see [`BatchRule`].
#[derive(Debug)]
pub struct BatchRoute {
    /// Percent of them that are served.
    pub admitted: u8,
    /// Some of them go to the pool that the home lane leads to.
    pub at_first: bool,
    /// Percent of them that are served while that pool sheds.
    pub elsewhere: u8,
    /// The other pools, by weight in percent.
    pub others: Vec<(Rc<PoolId>, u32)>,
}

/// Takes the zones out of a policy and compiles them.
pub fn compile(policy: &mut FilterPolicy) -> BTreeMap<ZoneName, ZoneRoutes> {
    let mut pools = Pools::default();
    let zones = policy.zones.iter_mut();
    zones
        .map(|(name, rule)| (name.clone(), pools.zone(rule)))
        .collect()
}

/// Each pool once, for all zones.
#[derive(Default)]
struct Pools(BTreeMap<(RegionName, ModelName), Rc<PoolId>>);

impl Pools {
    fn zone(&mut self, rule: &mut ZoneRule) -> ZoneRoutes {
        let models = std::mem::take(&mut rule.models);
        ZoneRoutes {
            definition: rule.definition.clone(),
            turn_away: rule.turn_away.take(),
            refuse_remote_content: rule.refuse_remote_content,
            models: models
                .into_iter()
                .map(|(model, rule)| {
                    let route = self.model(&model, rule);
                    (model, route)
                })
                .collect(),
        }
    }

    fn model(&mut self, model: &ModelName, rule: ModelRule) -> ModelRoute {
        ModelRoute {
            lane: rule.lane,
            pools: rule
                .regions
                .iter()
                .map(|region| (self.pool(region, model), !rule.down.contains(region)))
                .collect(),
            depth: rule.depth.unwrap_or(rule.regions.len()),
            has_fallback: rule.has_fallback,
            split: rule.split.map(|split| self.split(model, &split)),
            fresh: rule.fresh,
            fresh_unknown: rule.fresh_unknown,
            batch: self.batch(model, &rule.batch),
            per_try_timeout: rule.per_try_timeout,
        }
    }

    fn split(&mut self, model: &ModelName, split: &Split) -> SplitRoute {
        SplitRoute {
            first: self.pool(&split.first, model),
            home_share: split.home_share,
            floor: split.floor,
            overflow: self.weighted(&split.overflow, model),
            fixed: split.fixed,
            drains: split.drains,
        }
    }

    fn batch(&mut self, model: &ModelName, rule: &BatchRule) -> BatchRoute {
        BatchRoute {
            admitted: rule.admitted,
            at_first: rule.at_first,
            elsewhere: rule.elsewhere,
            others: self.weighted(&rule.others, model),
        }
    }

    fn weighted(
        &mut self,
        weights: &BTreeMap<RegionName, u32>,
        model: &ModelName,
    ) -> Vec<(Rc<PoolId>, u32)> {
        let weights = weights.iter();
        weights
            .map(|(region, weight)| (self.pool(region, model), *weight))
            .collect()
    }

    fn pool(&mut self, region: &RegionName, model: &ModelName) -> Rc<PoolId> {
        let pool = self.0.entry((region.clone(), model.clone()));
        pool.or_insert_with(|| Rc::new(PoolId::new(region, model)))
            .clone()
    }
}
