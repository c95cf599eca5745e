//! The control plane: its addresses and its TLS.

use super::addresses::overlap;
use super::{Check, UNSPECIFIED, field};
use crate::fleet::raw::{RawAdminApi, RawControlPlane, RawControlPlaneTls};
use meridian_policy::fleet::{AdminApi, ControlPlane, ControlPlaneTls};
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
        let tls = (!raw.plaintext).then(|| self.control_plane_tls(raw.tls));
        let status = raw.status.as_deref().unwrap_or("127.0.0.1:18001");
        let status = self.listen(&format!("{AT}.status"), status);
        if overlap(status, listen) {
            let message = format!(
                "{status} is taken by `listen`, {listen}; give one of the two another port"
            );
            self.problem(format!("{AT}.status"), message);
        }
        let api = raw.api.map(|raw| self.admin_api(raw, [listen, status]));
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
            api,
            lease: lease.unwrap_or(SHORTEST_LEASE),
        }
    }

    fn control_plane_tls(&mut self, raw: Option<RawControlPlaneTls>) -> ControlPlaneTls {
        let path = |file: &str| format!("/etc/meridian/tls/{file}");
        let (ca, certificate, key) = match raw {
            Some(tls) => (tls.ca, tls.certificate, tls.key),
            None => (
                path("ca.crt"),
                path("control-plane.crt"),
                path("control-plane.key"),
            ),
        };
        self.path(&format!("{AT}.tls.ca"), &ca);
        let identity = self.key_pair(&format!("{AT}.tls"), certificate, key);
        ControlPlaneTls { identity, ca }
    }

    fn admin_api(&mut self, raw: RawAdminApi, others: [SocketAddr; 2]) -> AdminApi {
        let at = format!("{AT}.api");
        let listen = self.listen(&format!("{at}.listen"), &raw.listen);
        let taken = others.into_iter().find(|other| overlap(*other, listen));
        if let Some(other) = taken {
            let message =
                format!("{listen} is taken by {other} of the control plane; give it another port");
            self.problem(format!("{at}.listen"), message);
        }
        if let Some(ca) = &raw.tls.ca {
            self.path(&format!("{at}.tls.ca"), ca);
        }
        self.path(&format!("{at}.operators"), &raw.operators);
        AdminApi {
            listen,
            identity: self.key_pair(&format!("{at}.tls"), raw.tls.certificate, raw.tls.key),
            ca: raw.tls.ca,
            operators: raw.operators,
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
