//! Pools that are something else than inference servers of their region: another region's gateway.

use super::addresses::reach;
use super::{Check, region_at};
use crate::fleet::raw::RawPoolFinding;
use meridian_policy::fleet::{Pool, Region};
use meridian_policy::{Fleet, RegionName};
use std::collections::BTreeSet;
use std::net::IpAddr;
use url::Url;

impl Check {
    /// A pool at another region's gateway leads a pinned zone's requests out of the zone, if that region is not in it.
    pub(super) fn pools_are_no_foreign_gateways(&mut self, fleet: &Fleet) {
        for (name, region) in &fleet.regions {
            for (model, pool) in &region.pools {
                let hosts = hosts(pool);
                let foreign = fleet.regions.iter().find_map(|(other, of)| {
                    let zone = fleet.zones.iter().find(|(_, zone)| {
                        zone.pinned && zone.regions.contains(name) && !zone.regions.contains(other)
                    })?;
                    let is_there = public_hosts(of).iter().any(|host| hosts.contains(host));
                    is_there.then_some((other, zone.0))
                });
                if let Some((other, zone)) = foreign {
                    let place = format!("{}.pools.{model}", region_at(name));
                    self.foreign_gateway(&place, pool, other, zone.as_str());
                }
            }
        }
    }

    fn foreign_gateway(&mut self, place: &str, pool: &Pool, other: &RegionName, zone: &str) {
        let field = match pool {
            Pool::Endpoints(_) => "endpoints",
            Pool::Dns { .. } => "dns",
        };
        let message = format!(
            "this is the gateway of `{other}`, which is outside the pinned zone `{zone}`; give the addresses of this region's servers"
        );
        self.finding(place, field, RawPoolFinding::ForeignGateway, &message);
    }
}

/// The hosts of a pool. Ports are left out: they may lead to the same machine by another listener.
fn hosts(pool: &Pool) -> BTreeSet<String> {
    match pool {
        Pool::Endpoints(endpoints) => endpoints
            .iter()
            .map(|endpoint| plain(&endpoint.ip().to_string()))
            .collect(),
        Pool::Dns { host, .. } => [plain(host)].into(),
    }
}

/// The hosts at which others reach a gateway. Loopback is on each gateway's own machine.
fn public_hosts(region: &Region) -> BTreeSet<String> {
    let url = region
        .public
        .url
        .as_deref()
        .and_then(|url| Url::parse(url).ok());
    let url = url.as_ref().and_then(Url::host_str);
    let hosts = url.into_iter().chain([region.gateway.address.as_str()]);
    let hosts = hosts.map(|host| plain(host.trim_matches(['[', ']'])));
    let is_loopback = |host: &String| host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    hosts.filter(|host| !is_loopback(host)).collect()
}

fn plain(host: &str) -> String {
    reach(host, 0).0
}
