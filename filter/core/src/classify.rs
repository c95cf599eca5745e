//! Classifies a request's headers into the caller's residency zone.

use crate::header_map::HeaderMap;
use meridian_policy::country::Country;
use meridian_policy::filter_policy::FilterPolicy;
use meridian_policy::fleet::{UnknownZone, ZoneSource, ZoneSourceKind};
use meridian_policy::headers;
use meridian_policy::name::ZoneName;
use std::net::IpAddr;

/// The values that edges send for a country that they do not know (`XX`, `ZZ`) or cannot know (`T1`: Tor).
const UNKNOWN_COUNTRIES: [&str; 3] = ["XX", "ZZ", "T1"];

/// A caller's zone, and the source of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    /// The zone.
    pub zone: ZoneName,
    /// The header that named the zone, or `unknown`.
    pub by: String,
}

/// The value of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceValue {
    /// The header is absent, or names an unknown country.
    Absent,
    /// The header names a zone.
    Zone(ZoneName),
    /// The header is present and names no zone. The sender may have meant a pinned zone.
    Invalid,
}

/// Returns the caller's zone, or `None` if the fleet refuses callers without a zone.
///
/// 1. The first source that names a pinned zone decides, whatever the other sources say.
/// 2. Otherwise an invalid source makes the caller's zone unknown.
/// 3. Otherwise the first source that names a zone decides.
pub fn classify(
    policy: &FilterPolicy,
    source: Option<IpAddr>,
    request: &HeaderMap,
) -> Option<Classified> {
    let mut has_invalid = false;
    let mut first_unpinned = None;
    for zone_source in policy
        .sources
        .iter()
        .filter(|zone_source| trusts(zone_source, source))
    {
        let zone = match source_value(policy, zone_source, request) {
            SourceValue::Absent => continue,
            SourceValue::Invalid => {
                has_invalid = true;
                continue;
            }
            SourceValue::Zone(zone) => zone,
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
    first_unpinned.filter(|_| !has_invalid).or_else(unknown)
}

/// The value of each of the policy's sources, in its order; `None` where the connection's other end is not trusted with it.
pub fn values(
    policy: &FilterPolicy,
    source: Option<IpAddr>,
    request: &HeaderMap,
) -> Vec<Option<SourceValue>> {
    let values = policy.sources.iter().map(|zone_source| {
        trusts(zone_source, source).then(|| source_value(policy, zone_source, request))
    });
    values.collect()
}

/// Returns the names of the request headers that the gateway must remove. These are Meridian's own headers, except those that
/// callers may send, and zone sources from an untrusted address.
pub fn untrusted<'r>(
    sources: &[ZoneSource],
    source: Option<IpAddr>,
    request: &'r HeaderMap,
) -> Vec<&'r str> {
    let forged = |name: &str| {
        sources.iter().any(|zone_source| {
            zone_source.header.eq_ignore_ascii_case(name) && !trusts(zone_source, source)
        })
    };
    let mut names: Vec<&str> = request
        .iter()
        .map(|(name, _)| name)
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

/// Reads a source. A header that is repeated or holds a list is valid only if it names exactly one pinned zone.
fn source_value(
    policy: &FilterPolicy,
    zone_source: &ZoneSource,
    request: &HeaderMap,
) -> SourceValue {
    let values: Vec<&str> = request
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(&zone_source.header))
        .flat_map(|(_, value)| value.split(','))
        .collect();
    match values.as_slice() {
        [] => SourceValue::Absent,
        [value] => parse_value(policy, zone_source.gives, value),
        several => {
            let mut pinned = several.iter().filter_map(|value| {
                match parse_value(policy, zone_source.gives, value.trim()) {
                    SourceValue::Zone(zone) if is_pinned(policy, &zone) => Some(zone),
                    _ => None,
                }
            });
            match pinned.next() {
                Some(zone) if pinned.all(|other| other == zone) => SourceValue::Zone(zone),
                _ => SourceValue::Invalid,
            }
        }
    }
}

fn parse_value(policy: &FilterPolicy, gives: ZoneSourceKind, value: &str) -> SourceValue {
    let zone = match gives {
        ZoneSourceKind::Zone => policy.zones.get_key_value(value).map(|(zone, _)| zone),
        ZoneSourceKind::Country if UNKNOWN_COUNTRIES.contains(&value) => {
            return SourceValue::Absent;
        }
        ZoneSourceKind::Country => Country::parse(value).and_then(|country| {
            policy
                .countries
                .get(&country)
                .or(policy.rest_of_world.as_ref())
        }),
    };
    zone.cloned()
        .map_or(SourceValue::Invalid, SourceValue::Zone)
}
