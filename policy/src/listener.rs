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
    /// How Envoy runs the filter.
    pub filter: FilterKind,
}

/// How a gateway's Envoy runs the filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilterKind {
    /// As a Wasm plugin.
    #[default]
    Wasm,
    /// As a dynamic module: native code in Envoy's process.
    Native,
}

/// Paths of the filter on the gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterFiles {
    /// The Wasm plugin.
    pub wasm: String,
    /// The dynamic module.
    pub native: String,
}

impl FilterFiles {
    /// The file of a kind.
    pub fn of(&self, kind: FilterKind) -> &str {
        match kind {
            FilterKind::Wasm => &self.wasm,
            FilterKind::Native => &self.native,
        }
    }
}

/// Paths of a certificate chain and its key on the gateway, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// The certificate chain.
    pub certificate: String,
    /// The private key.
    pub key: String,
}
