//! Retrieval: the vector database of each region.

use crate::listener::Gateway;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// A region's vector database, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorDb {
    /// The host: an IP address or a DNS name.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database's role in replication.
    pub role: Role,
    /// The gateway's listen address for clients in the region.
    pub listen: SocketAddr,
    /// The gateway's port for other gateways, over mTLS.
    pub gateway_port: u16,
}

/// The role of a database in replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Takes the writes.
    Primary,
    /// Follows the primary, with some lag.
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
    /// The gateway's listen address for other gateways: the host of its gateway listener, with the port of the database.
    pub fn listen_for_gateways(&self, gateway: &Gateway) -> SocketAddr {
        SocketAddr::new(gateway.listen.ip(), self.gateway_port)
    }
}
