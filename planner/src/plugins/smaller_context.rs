//! Members of chains with a smaller context than a later member.

use crate::topology::Topology;
use meridian_policy::chain::Member;
use meridian_policy::fleet::Fleet;
use meridian_policy::{ModelName, RegionName, ZoneName};
use std::collections::{BTreeMap, BTreeSet};

/// The members of a zone's chains for a model at the gateway of `home` that precede a member with a larger context. The
/// contexts are those of the fleet file.
pub fn smaller_context(
    topology: &Topology,
    zone: &ZoneName,
    model: &ModelName,
    home: &RegionName,
) -> BTreeSet<String> {
    let mut smaller = BTreeSet::new();
    let Some(reach) = topology.reach(zone, model, home) else {
        return smaller;
    };
    let others = reach.regions().iter().skip(1);
    let others = others.map(|to| reach.overflow_chain(home, to));
    for members in others.chain([reach.chain().to_vec()]) {
        for (position, member) in members.iter().enumerate() {
            let this = context(topology, model, member);
            let larger = |other| this.is_some() && context(topology, model, other) > this;
            if members[position + 1..].iter().any(larger) {
                smaller.insert(member.label());
            }
        }
    }
    smaller
}

/// The known contexts of all members for a model, in tokens.
pub fn contexts(fleet: &Fleet, model: &ModelName) -> BTreeMap<String, u32> {
    let regions = fleet.regions.keys().cloned().map(Member::Pool);
    let fallbacks = fleet.fallbacks.keys().cloned().map(Member::Fallback);
    let known = |member: Member| Some((member.label(), context(fleet, model, &member)?));
    regions.chain(fallbacks).filter_map(known).collect()
}

/// Context of a member in tokens, if known.
fn context(fleet: &Fleet, model: &ModelName, member: &Member) -> Option<u32> {
    match member {
        Member::Pool(region) | Member::Peer(region) => {
            fleet.regions.get(region)?.contexts.get(model).copied()
        }
        Member::Fallback(fallback) => fleet.fallbacks.get(fallback)?.context,
    }
}
