//! Retrieval: each region's vector database.

use crate::listener::Gateway;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// A region's vector database, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorDb {
    /// Its host: an IP address or a DNS name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What it is among those of the regions that may read one another's.
    pub role: Role,
    /// Where the gateway listens for those in its region who retrieve.
    pub listen: SocketAddr,
    /// The port at which it listens for other gateways, over mTLS.
    pub gateway_port: u16,
}

/// What a database is among those that hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It is written to: the others follow it.
    Primary,
    /// It follows the primary, at some distance.
    Replica,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        })
    }
}

impl VectorDb {
    /// Where the gateway listens for other gateways: beside the listener that brings their requests.
    pub fn listen_for_gateways(&self, gateway: &Gateway) -> SocketAddr {
        SocketAddr::new(gateway.listen.ip(), self.gateway_port)
    }
}
