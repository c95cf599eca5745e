//! Sources of a caller's zone.

use super::{Check, field, listed};
use crate::fleet::raw::{RawSource, RawSourceFinding};
use ipnet::{IpNet, Ipv6Net};
use meridian_policy::fleet::{Trust, ZoneSource};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Largest part of all IPv4 addresses that an edge has: 1/32, a /5. The networks of the largest clouds are a fraction of it, as is
/// 10.0.0.0/8.
const WIDEST_IPV4: f64 = 1.0 / 32.0;
/// Largest part of all IPv6 addresses that an edge has: a /12, which a registry has for a continent.
const WIDEST_IPV6: f64 = 1.0 / 4096.0;
/// All IPv4 addresses in IPv6 form.
const MAPPED: IpNet = IpNet::V6(Ipv6Net::new_assert(
    Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(),
    96,
));

/// Headers that tell something else than the edge's word about a caller: callers send them, proxies change them, or they end at each hop.
const UNRELIABLE: [&str; 30] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cf-connecting-ip",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "user-agent",
    "via",
    "x-envoy-external-address",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

impl Check {
    pub(super) fn sources(&mut self, raw: Vec<RawSource>) -> Vec<ZoneSource> {
        let mut sources: Vec<ZoneSource> = Vec::new();
        for (index, raw) in raw.into_iter().enumerate() {
            let at = format!("classify[{index}]");
            let RawSource {
                header,
                gives,
                trust,
                accept: _,
            } = raw;
            let header = self
                .at(&format!("{at}.header"), field::header_name(&header))
                .unwrap_or_default();
            if UNRELIABLE.contains(&header.as_str()) {
                let message = format!(
                    "callers and proxies set `{header}` for other purposes, or remove it on the way; have the edge set a header of its own"
                );
                self.finding(&at, "header", RawSourceFinding::UnreliableHeader, &message);
            }
            let again = |source: &ZoneSource| !header.is_empty() && source.header == header;
            if sources.iter().any(again) {
                self.problem(
                    format!("{at}.header"),
                    format!("`{header}` is a source already; remove one"),
                );
            }
            if trust.cidr.is_empty() {
                let message = "list the networks that may send this header; a header from anyone cannot be trusted";
                self.problem(format!("{at}.trust.cidr"), message);
            }
            let networks = trust.cidr.iter().enumerate();
            let cidr: Vec<IpNet> = networks
                .filter_map(|(n, text)| {
                    self.at(&format!("{at}.trust.cidr[{n}]"), field::cidr(text))
                })
                .collect();
            self.trust_is_narrow(&at, &cidr);
            sources.push(ZoneSource {
                header,
                gives,
                trust: Trust { cidr },
            });
        }
        sources
    }

    /// Networks that are narrow each may add up to nearly everybody.
    fn trust_is_narrow(&mut self, at: &str, networks: &[IpNet]) {
        let union = IpNet::aggregate(&networks.to_vec());
        let wide: Vec<&IpNet> = union.iter().filter(|network| !is_ours(network)).collect();
        let part = |network: &&&IpNet| 0.5_f64.powi(network.prefix_len().into());
        let (ipv4, ipv6): (Vec<&IpNet>, Vec<&IpNet>) = wide
            .into_iter()
            .partition(|network| network.addr().is_ipv4());
        let parts = (
            ipv4.iter().map(|network| part(&network)).sum::<f64>(),
            ipv6.iter().map(|network| part(&network)).sum::<f64>(),
        );
        let mapped = ipv6.iter().any(|network| network.contains(&MAPPED));
        if parts.0 > WIDEST_IPV4 || parts.1 > WIDEST_IPV6 || mapped {
            let message = format!(
                "together these networks are {}: callers in them could name their own zone; list the networks of the edge only",
                listed(union)
            );
            self.finding(at, "trust.cidr", RawSourceFinding::WideTrust, &message);
        }
    }
}

/// Whether a network is within the unique local addresses of IPv6. They are wide, and nobody outside has one.
fn is_ours(network: &IpNet) -> bool {
    IpNet::V6(Ipv6Net::new_assert(
        Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0),
        7,
    ))
    .contains(network)
}
