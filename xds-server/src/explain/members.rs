//! The members of a chain as they are now, and the regions and fallbacks that are not in it.

use super::explanation::{Excluded, MemberReport};
use super::place::Place;
use crate::serve::report::RegionReport;
use bytesize::ByteSize;
use meridian_planner::intent::Action;
use meridian_policy::RegionName;
use meridian_policy::chain::Member;
use meridian_policy::filter_policy::{Lane, ModelRule};
use std::collections::BTreeSet;

impl Place<'_> {
    /// The members that a request is sent to one after the other, from a lane and the region that it leads to first.
    pub fn chain(&self, lane: Lane, first: Option<&RegionName>) -> Vec<Member> {
        let Some(reach) = self.topology.reach(self.zone, self.model, self.home) else {
            return Vec::new();
        };
        let overflow = first.map(|first| reach.overflow_chain(self.home, first));
        match overflow.filter(|chain| lane != Lane::Home && !chain.is_empty()) {
            Some(chain) => chain,
            None if lane == Lane::Fallback => reach.chain()[reach.depth()..].to_vec(),
            None => reach.chain().to_vec(),
        }
    }

    /// How a member is.
    pub fn member(&self, member: &Member, rule: Option<&ModelRule>) -> MemberReport {
        match member {
            Member::Pool(region) | Member::Peer(region) => {
                let is_down = rule.is_some_and(|rule| rule.down.contains(region));
                let reasons = self.reasons(region).join(", ");
                MemberReport {
                    member: member.label(),
                    serves: !is_down,
                    state: self.region(region),
                    passed_over: is_down.then(|| format!("down: {reasons}")),
                    refuses: None,
                }
            }
            Member::Fallback(fallback) => self.fallback(fallback, member.label()),
        }
    }

    fn reasons(&self, region: &RegionName) -> Vec<String> {
        let pools = self.report.regions.get(region).map(|of| &of.pools);
        let pool = pools.and_then(|pools| pools.get(self.model));
        let reasons = pool.into_iter().flat_map(|pool| &pool.health.reasons);
        reasons.map(ToString::to_string).collect()
    }

    /// What is known of a region's pool, in words. What is not known is left out.
    fn region(&self, region: &RegionName) -> Vec<String> {
        let Some(of) = self.report.regions.get(region) else {
            return Vec::new();
        };
        let mut words = Vec::new();
        if let Some(pool) = of.pools.get(self.model) {
            let signals = &pool.signals;
            let percent = |value: f64| format!("{:.0} %", value * 100.0);
            let utilization = signals.utilization.map(|utilization| utilization.now);
            words.extend(utilization.map(|used| format!("utilization {}", percent(used))));
            words.extend(signals.waiting.map(|waiting| format!("queue {waiting:.0}")));
            words.extend(
                signals
                    .first_token_p95
                    .map(|p95| format!("first token p95 {p95:.1} s")),
            );
            words.extend(
                signals
                    .error_rate
                    .map(|rate| format!("errors {}", percent(rate))),
            );
            if pool.batch < 100 {
                words.push(format!("takes {} % of batch requests", pool.batch));
            }
            let reasons = pool.health.reasons.iter().filter(|_| !pool.health.down);
            words.extend(reasons.map(|reason| format!("unhealthy: {reason}")));
        }
        words.extend(self.drains(region));
        words.extend(data(of));
        words
    }

    /// The drains of a region's pool, and who wants them.
    fn drains(&self, region: &RegionName) -> Vec<String> {
        let intents = self.report.intents.active(self.report.at);
        let drains = intents.filter(|(_, intent)| match &intent.action {
            Action::Drain {
                region: of, model, ..
            } => of == region && model.as_ref().is_none_or(|model| model == self.model),
            Action::Override { .. } | Action::Freeze => false,
        });
        drains
            .map(|(number, intent)| {
                format!(
                    "intent {number}: {}, {}: {}",
                    intent.action, intent.by, intent.why
                )
            })
            .collect()
    }

    /// The regions and fallbacks that do not get the request, and why.
    pub fn excluded(&self, included: &BTreeSet<String>) -> Vec<Excluded> {
        let Some(zone) = self.topology.zones.get(self.zone) else {
            return Vec::new();
        };
        let regions = self.topology.regions.iter().map(|(name, region)| {
            let why = if !zone.regions.contains(name) {
                format!("it is not among the regions of {}", self.zone)
            } else if !region.pools.contains_key(self.model) {
                format!("it has no pool of {}", self.model)
            } else {
                "others are nearer, as many as `policy.failover.regions` says".to_owned()
            };
            (name.to_string(), why)
        });
        let fallbacks = self.topology.fallbacks.keys().map(|name| {
            let label = Member::Fallback(name.clone()).label();
            (
                label,
                format!("it is not among the fallbacks of {}", self.zone),
            )
        });
        let all = regions.chain(fallbacks);
        all.filter(|(member, _)| !included.contains(member))
            .map(|(member, why)| Excluded { member, why })
            .collect()
    }
}

fn data(region: &RegionReport) -> Option<String> {
    let lag = region.data.lag.map(|lag| format!("{lag:.0} s"));
    let lag = lag.unwrap_or_else(|| "unknown".to_owned());
    region
        .data
        .behind
        .then(|| format!("its data is behind: {lag}"))
}

/// A number of bytes, for people.
pub fn bytes(count: u64) -> String {
    ByteSize(count).to_string()
}
