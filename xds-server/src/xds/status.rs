//! What can be seen of the streams: per client and type, and in numbers.

use super::resources::PerType;
use meridian_policy::RegionName;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::SystemTime;

/// The form of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// State of the world: `StreamAggregatedResources`.
    Sotw,
    /// Incremental: `DeltaAggregatedResources`.
    Delta,
}

impl Wire {
    /// A short name for logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Sotw => "sotw",
            Self::Delta => "delta",
        }
    }
}

/// A push that a client refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nack {
    /// The version of the refused push.
    pub version: String,
    /// The client's own words.
    pub message: String,
}

/// One type of one client. Versions are those of all resources of the type that the client was sent, together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeStatus {
    /// Whether the client asked for everything.
    pub wildcard: bool,
    /// The names it asked for one by one.
    pub names: BTreeSet<String>,
    /// The last version that it accepted, as far as known.
    pub acked: Option<String>,
    /// The version that it has not answered yet.
    pub in_flight: Option<String>,
    /// The last refusal, until the client accepts a later push of this type.
    pub nack: Option<Nack>,
}

/// What a client says of itself on connecting.
#[derive(Clone, Debug)]
pub struct Client {
    /// `node.id`, in the client's own words.
    pub node: String,
    /// The region whose resources it gets.
    pub region: RegionName,
    /// Where it connects from; `None` if the transport does not say.
    pub remote: Option<SocketAddr>,
    /// The form of its stream.
    pub wire: Wire,
    /// `node.user_agent_name` and version, e.g. `envoy 1.40.0`, in the client's own words.
    pub user_agent: String,
    /// When the stream said who it is.
    pub connected: SystemTime,
}

/// One connected client.
#[derive(Clone, Debug)]
pub struct ClientStatus {
    /// Who it is.
    pub client: Client,
    /// Whether it still waits because nothing is published for its region.
    pub waiting: bool,
    /// `None` for a type that it has not asked for.
    pub types: PerType<Option<TypeStatus>>,
}

/// What has happened since the start; they only ever grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Responses sent.
    pub pushes: PerType<u64>,
    /// Responses that clients accepted.
    pub acks: PerType<u64>,
    /// Responses that clients refused.
    pub nacks: PerType<u64>,
    /// Streams refused, by reason ([`Refused::reason`](super::Refused::reason)).
    pub refused: BTreeMap<&'static str, u64>,
}
