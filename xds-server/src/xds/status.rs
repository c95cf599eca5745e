//! The state of clients and their subscriptions, and counters.

use super::resource_type::PerType;
use meridian_policy::RegionName;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// The variant of the protocol that a stream uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// State of the world: `StreamAggregatedResources`.
    Sotw,
    /// Incremental: `DeltaAggregatedResources`.
    Delta,
}

impl Wire {
    /// A short, stable name for logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Sotw => "sotw",
            Self::Delta => "delta",
        }
    }
}

/// A push that a client rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack {
    /// The version of the rejected push.
    pub version: String,
    /// The client's error message.
    pub message: String,
}

/// The subscription of one client to one type. Versions are those of the set of all resources of the type that the
/// client was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeStatus {
    /// Whether the client subscribed to the wildcard.
    pub wildcard: bool,
    /// The names that it subscribed to.
    pub names: BTreeSet<Arc<str>>,
    /// The last version that it accepted, if known.
    pub acked: Option<String>,
    /// The version that it has not acknowledged yet.
    pub in_flight: Option<String>,
    /// The last rejection, until the client accepts a later push of this type.
    pub nack: Option<Nack>,
}

/// The identity of a connected client.
#[derive(Clone, Debug)]
pub struct Client {
    /// `node.id`, as sent by the client.
    pub node: String,
    /// The region whose resources it receives.
    pub region: RegionName,
    /// Its address; `None` if the transport does not know it.
    pub remote: Option<SocketAddr>,
    /// The variant of the protocol.
    pub wire: Wire,
    /// `node.user_agent_name` and version, e.g. `envoy 1.40.0`, as sent by the client.
    pub user_agent: String,
    /// When the first request arrived.
    pub connected: Instant,
}

/// One connected client.
#[derive(Clone, Debug)]
pub struct ClientStatus {
    /// Its identity.
    pub client: Client,
    /// Whether nothing is published for its region yet.
    pub waiting: bool,
    /// Its subscriptions; `None` for a type that it has not subscribed to.
    pub types: PerType<Option<TypeStatus>>,
}

/// Counters since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Responses sent.
    pub pushes: PerType<u64>,
    /// Responses that clients accepted.
    pub acks: PerType<u64>,
    /// Responses that clients rejected.
    pub nacks: PerType<u64>,
    /// Streams refused, by reason ([`Refused::reason`](super::Refused::reason)).
    pub refused: BTreeMap<&'static str, u64>,
}
