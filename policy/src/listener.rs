//! A gateway's listeners, and its certificates.

use std::net::SocketAddr;

/// The listener that callers reach.
#[derive(Clone, Debug, PartialEq)]
pub struct Public {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How callers name it, e.g. `https://us-west-2.llm.example.com`, without a trailing slash: for those who
    /// reached the wrong gateway.
    pub url: Option<String>,
    /// Its certificate; plain HTTP without one.
    pub tls: Option<KeyPair>,
}

/// The listener that other gateways reach over mTLS.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The host that other gateways connect to: an IP address or a DNS name.
    pub address: String,
    /// The port that they connect to.
    pub port: u16,
    /// This gateway's certificate, whose URI SAN is the region's SPIFFE ID.
    pub identity: KeyPair,
    /// The authority that signed the other gateways' certificates, a path on the gateway.
    pub ca: String,
    /// Envoys that the region runs at most: they share its part of budgets.
    pub replicas: u32,
}

/// Paths of a certificate chain and its key on the gateway, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// The certificate chain.
    pub certificate: String,
    /// The private key.
    pub key: String,
}
