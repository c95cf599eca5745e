//! What an explanation is made of, and where the request is.

use super::explanation::PolicyReport;
use crate::serve::report::Report;
use meridian_filter_core::decision::Decision;
use meridian_planner::topology::Topology;
use meridian_policy::filter_policy::FilterPolicy;
use meridian_policy::{ModelName, RegionName, ZoneId, ZoneName};

/// What an explanation is made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'k> {
    /// The gateway's policy.
    pub policy: &'k FilterPolicy,
    /// Who has it.
    pub accepted: &'k PolicyReport,
    /// The fleet.
    pub topology: &'k Topology,
    /// The control plane's report.
    pub report: &'k Report,
}

/// What a fallback gets of a request.
#[derive(Clone, Copy, Debug)]
pub struct FallbackRequest<'g> {
    /// The path.
    pub path: &'g str,
    /// The header `anthropic-version`.
    pub version: Option<&'g str>,
    /// The header `anthropic-beta`.
    pub betas: &'g str,
    /// The body, if it is known.
    pub body: Option<&'g str>,
}

/// Where a request is: the gateway, the caller's zone and the model.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// The fleet.
    pub topology: &'p Topology,
    /// The control plane's report.
    pub report: &'p Report,
    /// The gateway's region.
    pub home: &'p RegionName,
    /// The zone.
    pub zone: &'p ZoneName,
    /// The model.
    pub model: &'p ModelName,
    /// The definition of the zone that the gateway follows.
    pub definition: &'p ZoneId,
    /// What fallbacks get of the request.
    pub request: FallbackRequest<'p>,
}

impl<'k> Inputs<'k> {
    /// Where a request is after a decision.
    pub(super) fn place<'p>(
        &self,
        decision: &'p Decision,
        request: FallbackRequest<'p>,
    ) -> Place<'p>
    where
        'k: 'p,
    {
        Place {
            topology: self.topology,
            report: self.report,
            home: &self.policy.region,
            zone: &decision.caller.zone,
            model: &decision.model,
            definition: &decision.definition,
            request,
        }
    }
}
