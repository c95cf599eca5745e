//! Fallbacks: hosted providers.

use crate::egress_policy::{Budget, Price, Provider};
use std::collections::BTreeSet;

/// A hosted provider that takes a request when no region can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Which API it speaks.
    pub provider: Provider,
    /// Where its API is.
    pub endpoint: ProviderEndpoint,
    /// Where it may process a request, e.g. `eea`; `global` means anywhere.
    pub jurisdiction: BTreeSet<String>,
    /// Our credential.
    pub api_key: Secret,
    /// Tokens of the longest prompt, where that is told.
    pub context: Option<u32>,
    /// What all gateways together may spend with it.
    pub budget: Budget,
    /// What it costs, where that is told.
    pub price: Option<Price>,
}

/// A provider's base URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderEndpoint {
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS is spoken; only a loopback provider may go without.
    pub tls: bool,
    /// What stands in for `/v1`, without a trailing slash: the path of the base URL.
    pub path: String,
}

/// Where a gateway finds a secret. Its value never passes through Meridian's own code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// An environment variable of the Envoy process.
    Env(String),
    /// A file on the gateway, read when the gateway starts.
    File(String),
    /// A file on the gateway that holds it as a resource of Envoy's SDS, read again whenever another is moved over it.
    Sds(String),
}
