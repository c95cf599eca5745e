//! From a request's headers to the caller's residency zone.

use meridian_policy::country::Country;
use meridian_policy::filter_policy::FilterPolicy;
use meridian_policy::fleet::{Gives, UnknownZone, ZoneSource};
use meridian_policy::headers;
use meridian_policy::name::ZoneName;
use std::net::IpAddr;

/// What edges send for a country that they do not know (`XX`, `ZZ`) or cannot know (`T1`: Tor).
const UNKNOWN_COUNTRIES: [&str; 3] = ["XX", "ZZ", "T1"];

/// A caller's zone, and what told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    /// The zone.
    pub zone: ZoneName,
    /// The header that told it, or `unknown`.
    pub by: String,
}

/// What one source says.
enum Said {
    /// It is absent, or says that it does not know.
    Nothing,
    /// A zone.
    Zone(ZoneName),
    /// It is there and cannot be understood. It may have meant a pinned zone.
    Unclear,
}

/// The caller's zone, or `None` if the fleet refuses callers that no source places.
///
/// The first source that names a pinned zone decides, whatever the others say. Otherwise one that is there and cannot be
/// understood makes the caller unknown; otherwise the first that names a zone decides.
pub fn classify(
    policy: &FilterPolicy,
    source: Option<IpAddr>,
    request: &[(String, String)],
) -> Option<Classified> {
    let mut unclear = false;
    let mut first_unpinned = None;
    for zone_source in policy
        .sources
        .iter()
        .filter(|zone_source| trusts(zone_source, source))
    {
        let zone = match said(policy, zone_source, request) {
            Said::Nothing => continue,
            Said::Unclear => {
                unclear = true;
                continue;
            }
            Said::Zone(zone) => zone,
        };
        let pinned = is_pinned(policy, &zone);
        let classified = Classified {
            zone,
            by: zone_source.header.clone(),
        };
        if pinned {
            return Some(classified);
        }
        first_unpinned.get_or_insert(classified);
    }
    let unknown = || match &policy.unknown_zone {
        UnknownZone::Zone(zone) => Some(Classified {
            zone: zone.clone(),
            by: "unknown".into(),
        }),
        UnknownZone::Refuse => None,
    };
    first_unpinned.filter(|_| !unclear).or_else(unknown)
}

/// The names of the headers that must not go on: Meridian's own but for those that are for callers, and zone sources from someone who is not trusted.
pub fn untrusted<'r>(
    sources: &[ZoneSource],
    source: Option<IpAddr>,
    request: &'r [(String, String)],
) -> Vec<&'r str> {
    let forged = |name: &str| {
        sources.iter().any(|zone_source| {
            zone_source.header.eq_ignore_ascii_case(name) && !trusts(zone_source, source)
        })
    };
    let mut names: Vec<&str> = request
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| {
            let mut all = headers::FOR_CALLERS.iter();
            let for_callers = all.any(|header| name.eq_ignore_ascii_case(header));
            (headers::is_ours(name) && !for_callers) || forged(name)
        })
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

fn is_pinned(policy: &FilterPolicy, zone: &ZoneName) -> bool {
    policy.zones.get(zone).is_none_or(|rule| rule.pinned)
}

/// A header that is sent twice, or holds a list, is understood only if it names one pinned zone.
fn said(policy: &FilterPolicy, zone_source: &ZoneSource, request: &[(String, String)]) -> Said {
    let values: Vec<&str> = request
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(&zone_source.header))
        .flat_map(|(_, value)| value.split(','))
        .collect();
    match values.as_slice() {
        [] => Said::Nothing,
        [value] => meaning(policy, zone_source.gives, value),
        several => {
            let mut pinned = several.iter().filter_map(|value| {
                match meaning(policy, zone_source.gives, value.trim()) {
                    Said::Zone(zone) if is_pinned(policy, &zone) => Some(zone),
                    _ => None,
                }
            });
            match pinned.next() {
                Some(zone) if pinned.all(|other| other == zone) => Said::Zone(zone),
                _ => Said::Unclear,
            }
        }
    }
}

fn meaning(policy: &FilterPolicy, gives: Gives, value: &str) -> Said {
    let zone = match gives {
        Gives::Zone => policy.zones.get_key_value(value).map(|(zone, _)| zone),
        Gives::Country if UNKNOWN_COUNTRIES.contains(&value) => return Said::Nothing,
        Gives::Country => Country::parse(value).and_then(|country| {
            policy
                .countries
                .get(&country)
                .or(policy.rest_of_world.as_ref())
        }),
    };
    zone.cloned().map_or(Said::Unclear, Said::Zone)
}
