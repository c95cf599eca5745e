//! A gateway's listeners, and its certificates.

use std::net::SocketAddr;

/// The listener for callers.
#[derive(Clone, Debug, PartialEq)]
pub struct Public {
    /// The listen address.
    pub listen: SocketAddr,
    /// The URL for callers, for example `https://us-west-2.llm.example.com`, without a trailing slash. Other gateways send
    /// misdirected callers there.
    pub url: Option<String>,
    /// The certificate. `None`: plain HTTP.
    pub tls: Option<KeyPair>,
}

/// The listener for other gateways, over mTLS.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// The listen address.
    pub listen: SocketAddr,
    /// The host for other gateways' connections: an IP address or a DNS name.
    pub address: String,
    /// The port for other gateways' connections.
    pub port: u16,
    /// The certificate of this gateway. Its URI SAN is the region's SPIFFE ID.
    pub identity: KeyPair,
    /// Path on the gateway of the CA of the other gateways' certificates.
    pub ca: String,
    /// Maximum number of Envoys in the region. They share the region's part of budgets.
    pub replicas: u32,
}

/// Paths of a certificate chain and its key on the gateway, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// The certificate chain.
    pub certificate: String,
    /// The private key.
    pub key: String,
}
