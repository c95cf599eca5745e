//! The control plane: its addresses and its TLS.

use super::addresses::overlap;
use super::{Check, UNSPECIFIED, field};
use crate::fleet::raw::RawControlPlane;
use meridian_policy::fleet::{ControlPlane, ControlPlaneTls};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const AT: &str = "control_plane";

/// Shortest lease: it is renewed after a third, so at most once a second.
const SHORTEST_LEASE: Duration = Duration::from_secs(3);

impl Check {
    pub(super) fn control_plane(&mut self, raw: RawControlPlane) -> ControlPlane {
        let addresses = self.control_plane_addresses(raw.address.all());
        let loopback = on_loopback(&addresses);
        let port = raw.port.unwrap_or(18000);
        if port == 0 {
            let message = "port 0 cannot be connected to";
            self.problem(format!("{AT}.port"), message);
        }
        let listen = match raw.listen {
            Some(listen) => self.listen(&format!("{AT}.listen"), &listen),
            None => SocketAddr::new(loopback.unwrap_or(UNSPECIFIED.ip()), port),
        };
        if raw.plaintext && (loopback.is_none() || !listen.ip().is_loopback()) {
            let message = "whoever reaches a control plane without TLS is told everything; it must be on 127.0.0.1, \
                           with `listen` there too";
            self.problem(format!("{AT}.plaintext"), message);
        }
        if raw.plaintext && raw.tls.is_some() {
            let message = "contradicts `plaintext: true`; remove one of the two";
            self.problem(format!("{AT}.tls"), message);
        }
        let path = |file: &str| format!("/etc/meridian/tls/{file}");
        let (ca, certificate, key) = match raw.tls {
            Some(tls) => (tls.ca, tls.certificate, tls.key),
            None => (
                path("ca.crt"),
                path("control-plane.crt"),
                path("control-plane.key"),
            ),
        };
        let tls = (!raw.plaintext).then(|| {
            self.path(&format!("{AT}.tls.ca"), &ca);
            let identity = self.key_pair(&format!("{AT}.tls"), certificate, key);
            ControlPlaneTls { identity, ca }
        });
        let status = raw.status.as_deref().unwrap_or("127.0.0.1:18001");
        let status = self.listen(&format!("{AT}.status"), status);
        if overlap(status, listen) {
            let message = format!(
                "{status} is taken by `listen`, {listen}; give one of the two another port"
            );
            self.problem(format!("{AT}.status"), message);
        }
        let lease = raw.lease.as_deref().unwrap_or("60s");
        let lease = self.at(&format!("{AT}.lease"), field::duration(lease));
        if lease.is_some_and(|lease| lease < SHORTEST_LEASE) {
            let message = "a lease this short is lost by one slow renewal; 3s or more";
            self.problem(format!("{AT}.lease"), message);
        }
        ControlPlane {
            addresses,
            port,
            listen,
            tls,
            status,
            lease: lease.unwrap_or(SHORTEST_LEASE),
        }
    }

    fn control_plane_addresses(&mut self, raw: &[String]) -> Vec<String> {
        let at = format!("{AT}.address");
        if raw.is_empty() {
            self.problem(at.clone(), "there is none; the gateways need one");
        }
        let mut addresses = Vec::new();
        for address in raw {
            let Some(address) = self.at(&at, field::host(address)) else {
                continue;
            };
            if addresses.contains(&address) {
                let message =
                    format!("{address} is here twice; each replica has an address of its own");
                self.problem(at.clone(), message);
            }
            addresses.push(address);
        }
        addresses
    }
}

/// The first of the addresses, if all of them are on loopback. Of several each replica listens on its own, by `meridian serve --listen`.
fn on_loopback(addresses: &[String]) -> Option<IpAddr> {
    let each = addresses.iter().map(|address| {
        let ip = address.parse::<IpAddr>();
        ip.ok().filter(IpAddr::is_loopback)
    });
    each.reduce(|first, other| other.and(first)).flatten()
}
