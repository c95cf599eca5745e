//! Vector databases: their addresses, and which regions may read them.

use super::addresses::{Places, listeners, overlap, reach};
use super::{Check, UNSPECIFIED, field, listed, region_at};
use crate::fleet::host::is_private;
use crate::fleet::raw::{RawRole, RawVectorDb};
use meridian_planner::retrieval::databases;
use meridian_policy::fleet::{Pool, Region};
use meridian_policy::retrieval::{Role, VectorDb};
use meridian_policy::{Fleet, RegionName};
use std::net::{IpAddr, SocketAddr};

/// There is no default: whoever reaches this address reads the database, without a certificate.
const NO_LISTEN: &str = "is required: whoever reaches this address reads the database; write an `ip:port` of the region's own network, \
                         e.g. 10.0.1.1:19530";

impl Check {
    pub(super) fn vector_db(&mut self, at: &str, raw: RawVectorDb) -> VectorDb {
        let endpoint = self.at(&format!("{at}.endpoint"), endpoint(&raw.endpoint));
        let (host, port) = endpoint.unwrap_or_default();
        let gateway_port = raw.gateway_port.unwrap_or(8444);
        if gateway_port == 0 {
            self.problem(
                format!("{at}.gateway_port"),
                "port 0 cannot be connected to",
            );
        }
        let listen = match raw.listen.as_deref() {
            Some(listen) => field::socket(listen),
            None => Err(NO_LISTEN.into()),
        };
        VectorDb {
            host,
            port,
            role: match raw.role {
                RawRole::Primary => Role::Primary,
                RawRole::Replica => Role::Replica,
            },
            listen: self
                .at(&format!("{at}.listen"), listen)
                .unwrap_or(UNSPECIFIED),
            gateway_port,
        }
    }

    /// Of the databases that can replace each other only one may be a primary, and a replica needs a source of its lag.
    pub(super) fn databases_agree(&mut self, fleet: &Fleet) {
        for (name, region) in &fleet.regions {
            let Some(database) = &region.vector_db else {
                continue;
            };
            let at = format!("{}.vector_db.role", region_at(name));
            let others = databases(fleet, name);
            let others = others.iter().filter(|other| *other != name);
            let is_primary = |other: &&RegionName| {
                let other = fleet.regions.get(*other);
                other
                    .and_then(|other| other.vector_db.as_ref())
                    .is_some_and(|other| other.role == Role::Primary)
            };
            match database.role {
                Role::Primary => {
                    // Reported once, at the second of the two.
                    let mut before = others.clone().filter(is_primary);
                    if let Some(other) = before.find(|other| *other < name) {
                        let message = format!(
                            "`{other}` has a primary as well, and either may be read in place of the other; make one a `replica`, or \
                             keep them apart by a pinned zone"
                        );
                        self.problem(at, message);
                    }
                }
                Role::Replica if others.clone().next().is_some() && !region.reports_lag() => {
                    let message = format!(
                        "nothing tells how far it is behind, so that it would never be left for {}; add a source with the preset \
                         `postgres` or `milvus` to `{}.signals`",
                        listed(others),
                        region_at(name)
                    );
                    self.problem(at, message);
                }
                Role::Replica => {}
            }
        }
    }

    /// The address of a database, and the port that leads to it, must not be used by anything else.
    pub(super) fn databases_have_their_own(&mut self, fleet: &Fleet, ours: &Places) {
        for (name, region) in &fleet.regions {
            let Some(database) = &region.vector_db else {
                continue;
            };
            let at = format!("{}.vector_db", region_at(name));
            let ip = database.host.parse::<IpAddr>().ok();
            if let Some(listener) = ip.and_then(|ip| own_listener(region, ip, database.port)) {
                let message = format!(
                    "the gateway itself listens there, by `{listener}`; give that another port"
                );
                self.problem(format!("{at}.endpoint"), message);
            }
            // A loopback address is on each gateway's own machine, a private one in each region's own network, and a local
            // name may mean another host in each region.
            let may_share = ip.is_none_or(|ip| ip.is_loopback() || is_private(ip));
            let others = ours.get(&reach(&database.host, database.port));
            let others = others.into_iter().flatten().filter(|place| {
                let is_database = place.ends_with(".vector_db.endpoint`");
                **place != format!("`{at}.endpoint`") && !(is_database && may_share)
            });
            self.report_conflict(format!("{at}.endpoint"), &database.host, others);
            let gateway = &region.gateway.address;
            let others = ours.get(&reach(gateway, database.gateway_port));
            let others = others.into_iter().flatten().filter(|place| {
                let of_requests = format!("`{}.gateway`", region_at(name));
                // The gateway itself is known by its listeners.
                ![format!("`{at}.gateway_port`"), of_requests].contains(place)
            });
            self.report_conflict(format!("{at}.gateway_port"), gateway, others);
        }
    }

    fn report_conflict<'p>(
        &mut self,
        at: String,
        host: &str,
        by: impl Iterator<Item = &'p String>,
    ) {
        let mut by = by.peekable();
        // Addresses that did not parse are reported already.
        if by.peek().is_some() && !host.is_empty() {
            let message = format!(
                "leads to {} already; give it an address of its own",
                listed(by)
            );
            self.problem(at, message);
        }
    }
}

/// The gateway's listener that a local address would reach.
fn own_listener(region: &Region, ip: IpAddr, port: u16) -> Option<&'static str> {
    let own = SocketAddr::new(ip.to_canonical(), port);
    let mut listeners = listeners(region).into_iter();
    listeners
        .find(|(_, listen)| own.ip().is_loopback() && overlap(*listen, own))
        .map(|(listener, _)| listener)
}

/// Host and port; the host is an address or a name.
fn endpoint(text: &str) -> Result<(String, u16), String> {
    if let Ok(address) = field::endpoint(text) {
        return Ok((address.ip().to_string(), address.port()));
    }
    match field::dns_pool(text) {
        Ok(Pool::Dns { host, port }) => Ok((host, port)),
        _ => Err(format!(
            "`{text}` is no address of a database; write `ip:port` or `name:port`, e.g. 10.0.1.20:19530"
        )),
    }
}
