//! Gateways that cannot reach each other.

use super::{FleetState, RECENT};
use crate::signal::Millis;
use meridian_policy::fleet::Fleet;
use meridian_policy::name::RegionName;
use std::fmt;

/// Health checks without an answer, and none with one, after which a gateway counts as unreachable: one may be lost.
const MIN_UNANSWERED: f64 = 3.0;

/// Why a gateway cannot reach another one, as far as its statistics tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// It refuses the other one's certificate.
    CertificateRefused,
    /// The TLS handshake fails otherwise.
    HandshakeFails,
    /// Health checks have no answer.
    NoAnswer,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CertificateRefused => {
                "it refuses the other gateway's certificate: expired, of another authority, or of another region"
            }
            Self::HandshakeFails => {
                "the TLS handshake fails: the other gateway may refuse its certificate"
            }
            Self::NoAnswer => "health checks have no answer: look at the path and the other gateway",
        })
    }
}

impl FleetState {
    /// The gateways of a region that cannot reach a peer: the peer's region, the gateway's node id, and why.
    pub fn unreachable_peers(
        &self,
        fleet: &Fleet,
        region: &RegionName,
        now: Millis,
    ) -> Vec<(&RegionName, &str, Unreachable)> {
        let windows = self.regions.get(region).map(|state| &state.peer_checks);
        let windows = windows.into_iter().flatten();
        let fresh =
            windows.filter(|(_, window)| now.since(window.at()) <= fleet.unhealthy.signal_ttl);
        let unreachable = fresh.filter_map(|((to, gateway), window)| {
            let ([answered, unanswered, certificates, handshakes], _) = window.growth_over(RECENT);
            if answered > 0.0 || unanswered < MIN_UNANSWERED {
                return None;
            }
            let why = if certificates > 0.0 {
                Unreachable::CertificateRefused
            } else if handshakes > 0.0 {
                Unreachable::HandshakeFails
            } else {
                Unreachable::NoAnswer
            };
            Some((to, gateway.as_str(), why))
        });
        unreachable.collect()
    }
}
