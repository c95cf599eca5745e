//! From a request's headers to the caller's residency zone.

use crate::country::Country;
use crate::filter_policy::FilterPolicy;
use crate::fleet::{Gives, UnknownZone, ZoneSource};
use crate::headers;
use crate::name::ZoneName;
use std::net::IpAddr;

/// A caller's zone, and what told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    /// The zone.
    pub zone: ZoneName,
    /// The header that told it, or `unknown`.
    pub by: String,
}

/// The caller's zone, or `None` if the fleet refuses callers that no source places.
///
/// The first source that knows decides, except that a pinned answer from any source beats an unpinned one.
pub fn classify(
    policy: &FilterPolicy,
    source: Option<IpAddr>,
    request: &[(String, String)],
) -> Option<Classified> {
    let mut first_unpinned = None;
    for zone_source in policy
        .sources
        .iter()
        .filter(|zone_source| trusts(zone_source, source))
    {
        let Some(zone) = answer(policy, zone_source, request) else {
            continue;
        };
        let pinned = policy.zones.get(&zone).is_none_or(|rule| rule.pinned);
        let classified = Classified {
            zone,
            by: zone_source.header.clone(),
        };
        if pinned {
            return Some(classified);
        }
        first_unpinned.get_or_insert(classified);
    }
    first_unpinned.or_else(|| match &policy.unknown_zone {
        UnknownZone::Zone(zone) => Some(Classified {
            zone: zone.clone(),
            by: "unknown".into(),
        }),
        UnknownZone::Refuse => None,
    })
}

/// The names of the headers that must not go on: Meridian's own, and zone sources from someone who is not trusted.
pub fn untrusted<'r>(
    policy: &FilterPolicy,
    source: Option<IpAddr>,
    request: &'r [(String, String)],
) -> Vec<&'r str> {
    let forged = |name: &str| {
        policy.sources.iter().any(|zone_source| {
            zone_source.header.eq_ignore_ascii_case(name) && !trusts(zone_source, source)
        })
    };
    let mut names: Vec<&str> = request
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| headers::is_ours(name) || forged(name))
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn trusts(zone_source: &ZoneSource, source: Option<IpAddr>) -> bool {
    source.is_some_and(|source| {
        zone_source
            .trust
            .cidr
            .iter()
            .any(|cidr| cidr.contains(&source.to_canonical()))
    })
}

/// What one source says. A header that is sent twice says nothing, whatever its values are.
fn answer(
    policy: &FilterPolicy,
    zone_source: &ZoneSource,
    request: &[(String, String)],
) -> Option<ZoneName> {
    let mut values = request
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(&zone_source.header));
    let (Some((_, value)), None) = (values.next(), values.next()) else {
        return None;
    };
    match zone_source.gives {
        Gives::Zone => policy
            .zones
            .get_key_value(value.as_str())
            .map(|(zone, _)| zone.clone()),
        Gives::Country => {
            let country = Country::parse(value)?;
            policy
                .countries
                .get(&country)
                .or(policy.rest_of_world.as_ref())
                .cloned()
        }
    }
}
