//! From fleets and plan to the resources of every gateway.
//!
//! ```text
//! fleets --Translator::skeleton()--> split, join as the gateway does, verify whole --> Skeleton
//! plan   --Translator::moving()----> split, verify against the skeleton -------------> Resources
//! ```
//!
//! A gateway's skeleton is made once per fleet. A plan makes the parts anew that it moves, of the gateways that it concerns. If one
//! gateway fails, nothing is published.

use crate::discovery::{self, Unresolved};
use crate::history::History;
use crate::snapshot::Parts;
use crate::translate::{Moving, Translator, of_the_other_kind};
use crate::verify::{self, Leak, Skeleton, verify};
use crate::xds::{ResourceType, Resources};
use meridian_planner::plan::Plan;
use meridian_planner::topology::Topology;
use meridian_policy::RegionName;
use meridian_policy::filter_policy::Lease;
use meridian_proto::JsonError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};

/// The resources of every gateway, by region.
pub type Publication = BTreeMap<RegionName, Arc<Resources>>;

/// Why a plan cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum Unpublishable {
    /// A configuration would let a pinned request out of its zone.
    #[error("the configuration of {region} would break residency:\n{}", lines(.leaks))]
    Leaks {
        /// The gateway.
        region: RegionName,
        /// The leaks.
        leaks: Vec<Leak>,
    },
    /// A resource refers to one that is not there.
    #[error("the configuration of {0}: {1}")]
    Unresolved(RegionName, Unresolved),
    /// A resource has no canonical encoding.
    #[error(transparent)]
    Encoding(#[from] JsonError),
}

fn lines(leaks: &[Leak]) -> String {
    let lines: Vec<String> = leaks.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// The resources of every gateway, with the definitions of earlier fleets.
#[cfg(test)]
pub(crate) fn publication(
    history: impl Into<History>,
    plan: &Plan,
    lease: Lease,
    before: &Publication,
) -> Result<Publication, Unpublishable> {
    Publisher::new(history.into(), plan, lease, before).map(|publisher| publisher.publication())
}

/// Makes the publications of one edition of the fleet.
pub struct Publisher {
    history: History,
    plan: Plan,
    lease: Lease,
    gateways: BTreeMap<RegionName, Gateway>,
}

/// The configurations of a fleet's gateways before anything is observed.
pub struct Configurations {
    /// Their resources.
    pub publication: Publication,
    /// What each costs its Envoy.
    pub costs: BTreeMap<RegionName, Cost>,
}

impl Configurations {
    /// Makes and verifies them.
    ///
    /// # Errors
    ///
    /// If one does not verify.
    pub fn of(fleet: Arc<Topology>) -> Result<Self, Unpublishable> {
        let lease = Lease {
            given: 0,
            runs_ms: 0,
        };
        let publisher = Publisher::new(fleet.into(), &Plan::default(), lease, &Publication::new())?;
        let costs = publisher.costs();
        Ok(Self {
            costs: costs.map(|(region, cost)| (region.clone(), cost)).collect(),
            publication: publisher.publication(),
        })
    }
}

/// What a configuration costs an Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Clusters.
    pub clusters: usize,
    /// Different routes.
    pub routes: usize,
    /// Encoded size of all resources.
    pub bytes: usize,
}

/// One gateway's configuration.
#[derive(Clone)]
struct Gateway {
    skeleton: Arc<Skeleton>,
    resources: Arc<Resources>,
}

impl Publisher {
    /// Makes and verifies the configuration of every gateway, on all processors. What is equal in `before` is shared with it.
    ///
    /// # Errors
    ///
    /// If one does not verify.
    pub fn new(
        history: History,
        plan: &Plan,
        lease: Lease,
        before: &Publication,
    ) -> Result<Self, Unpublishable> {
        let nothing = Arc::default();
        let translator = Translator::new(&history, plan);
        let whole = |region: &RegionName| {
            let making = Making {
                translator: &translator,
                history: &history,
                region,
                lease,
            };
            let gateway = making.whole(before.get(region).unwrap_or(&nothing))?;
            Ok((region.clone(), gateway))
        };
        let regions: Vec<&RegionName> = history.current.regions.keys().collect();
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let made: Vec<Result<_, Unpublishable>> = thread::scope(|scope| {
            let parts = regions.chunks(regions.len().div_ceil(threads).max(1));
            let parts = parts.map(|regions| {
                scope.spawn(|| {
                    regions
                        .iter()
                        .map(|region| whole(region))
                        .collect::<Vec<_>>()
                })
            });
            let parts: Vec<_> = parts.collect();
            let made = parts.into_iter().map(ScopedJoinHandle::join);
            made.flat_map(|made| made.unwrap_or_else(|panic| resume_unwind(panic)))
                .collect()
        });
        let gateways = made.into_iter().collect::<Result<_, _>>()?;
        Ok(Self {
            plan: plan.clone(),
            lease,
            gateways,
            history,
        })
    }

    /// Follows another plan and lease. Without success everything stays.
    ///
    /// # Errors
    ///
    /// If a configuration does not verify.
    pub fn follow(&mut self, plan: &Plan, lease: Lease) -> Result<(), Unpublishable> {
        let translator = Translator::new(&self.history, plan);
        let concerned = self.concerned(plan);
        let mut made = Vec::new();
        for (region, gateway) in &self.gateways {
            let is_concerned = concerned.as_ref().is_none_or(|them| them.contains(region));
            let making = Making {
                translator: &translator,
                history: &self.history,
                region,
                lease,
            };
            let moving = match (is_concerned, lease == self.lease) {
                (true, _) => translator.moving(region, lease),
                (false, false) => translator.renewed(region, lease),
                (false, true) => None,
            };
            if let Some(moving) = moving {
                made.push((region.clone(), making.moved(gateway, moving)?));
            }
        }
        self.gateways.extend(made);
        self.plan = plan.clone();
        self.lease = lease;
        Ok(())
    }

    /// The gateways whose configuration may differ under another plan; `None` for all. Earlier fleets may have regions that this one has not.
    fn concerned(&self, plan: &Plan) -> Option<BTreeSet<RegionName>> {
        if !self.history.earlier.is_empty() {
            return (*plan == self.plan).then(BTreeSet::new);
        }
        Some(self.plan.concerned(plan, &self.history.current))
    }

    /// What the configuration of each gateway costs its Envoy.
    pub fn costs(&self) -> impl Iterator<Item = (&RegionName, Cost)> {
        self.gateways.iter().map(|(region, gateway)| {
            let resources = &gateway.resources;
            let kinds = ResourceType::ALL.into_iter();
            let all = kinds.flat_map(|kind| resources.of(kind).values());
            let cost = Cost {
                clusters: resources.of(ResourceType::Cluster).len(),
                routes: gateway.skeleton.routes(),
                bytes: all.map(|resource| resource.body().value.len()).sum(),
            };
            (region, cost)
        })
    }

    /// The fleets.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The resources of all gateways.
    pub fn publication(&self) -> Publication {
        let gateways = self.gateways.iter();
        gateways
            .map(|(region, gateway)| (region.clone(), gateway.resources.clone()))
            .collect()
    }
}

/// What the configuration of one gateway is made from.
struct Making<'m> {
    translator: &'m Translator<'m>,
    history: &'m History,
    region: &'m RegionName,
    lease: Lease,
}

impl Making<'_> {
    /// Makes everything, and verifies it whole.
    fn whole(&self, before: &Arc<Resources>) -> Result<Gateway, Unpublishable> {
        let Self {
            translator,
            history,
            region,
            lease,
        } = self;
        let mut parts = discovery::split(translator.skeleton(region, *lease));
        let joined = discovery::join(&parts)
            .map_err(|unresolved| Unpublishable::Unresolved((*region).clone(), unresolved))?;
        self.refuse(verify(*history, region, &joined))?;
        // The same policies, and code of the same fleet: they carry nobody to another place.
        let others = of_the_other_kind(&history.current, &parts.extensions);
        parts.extensions.extend(others);
        let skeleton = Arc::new(Skeleton::of(&parts));
        let resources = discovery::with(Resources::default(), parts, before)?;
        let gateway = Gateway {
            skeleton,
            resources: Arc::new(resources),
        };
        let Some(moving) = translator.moving(region, *lease) else {
            return Ok(gateway);
        };
        let parts = self.parts(moving);
        self.refuse(verify::moved(history, region, &gateway.skeleton, &parts))?;
        gateway.with(parts, before)
    }

    /// Replaces what a plan moves. Whole, if the skeleton does not cover that.
    fn moved(&self, gateway: &Gateway, moving: Moving) -> Result<Gateway, Unpublishable> {
        let parts = self.parts(moving);
        let before = &gateway.resources;
        if verify::moved(self.history, self.region, &gateway.skeleton, &parts).is_empty() {
            gateway.with(parts, before)
        } else {
            self.whole(before)
        }
    }

    /// The parts that replace others, for both kinds of the filter.
    fn parts(&self, moving: Moving) -> Parts {
        let mut parts = discovery::moving(moving);
        let others = of_the_other_kind(&self.history.current, &parts.extensions);
        parts.extensions.extend(others);
        parts
    }

    fn refuse(&self, leaks: Vec<Leak>) -> Result<(), Unpublishable> {
        if leaks.is_empty() {
            return Ok(());
        }
        let region = self.region.clone();
        Err(Unpublishable::Leaks { region, leaks })
    }
}

impl Gateway {
    /// With parts in the place of those of the same names. Resources equal to `before` are those.
    fn with(&self, parts: Parts, before: &Arc<Resources>) -> Result<Self, Unpublishable> {
        let resources = discovery::with(Resources::clone(&self.resources), parts, before)?;
        let resources = if resources == **before {
            before.clone()
        } else {
            Arc::new(resources)
        };
        Ok(Self {
            skeleton: self.skeleton.clone(),
            resources,
        })
    }
}

#[cfg(test)]
mod tests;
