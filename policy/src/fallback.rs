//! Fallbacks: hosted providers.

use crate::egress_policy::{Budget, Price, Provider, Renames};
use std::collections::BTreeSet;

/// A hosted provider, which serves a request when no region can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The API of the provider.
    pub provider: Provider,
    /// The names of the models at an OpenAI-compatible provider.
    pub renames: Renames,
    /// The address of the API.
    pub endpoint: ProviderEndpoint,
    /// The places where the provider may process a request, for example `eea`. `global` means anywhere.
    pub jurisdiction: BTreeSet<String>,
    /// The operator's credential with the provider.
    pub api_key: Secret,
    /// Maximum length of a prompt in tokens, if known.
    pub context: Option<u32>,
    /// The spending limits of all gateways together.
    pub budget: Budget,
    /// The prices of the provider, if known.
    pub price: Option<Price>,
}

/// The parts of a provider's base URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderEndpoint {
    /// The host: a DNS name or an IP address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether the connection uses TLS. Only a loopback provider may go without.
    pub tls: bool,
    /// The path of the base URL, without a trailing slash. It replaces `/v1` in request paths.
    pub path: String,
}

/// The place of a secret on a gateway. The value never passes through Meridian's own code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// An environment variable of the Envoy process.
    Env(String),
    /// A file on the gateway, read when the gateway starts.
    File(String),
    /// A file on the gateway that holds the secret as a resource of Envoy's SDS. Envoy reads it again when another file is moved
    /// over it.
    Sds(String),
}
