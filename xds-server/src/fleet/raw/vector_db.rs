//! A region's vector database, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

/// The vector database that is read in a region: Milvus, PostgreSQL with pgvector, or any other that is spoken to over TCP. The gateway
/// forwards connections to it. While it is behind by more than `policy.unhealthy.replication_lag`, new connections go to the primary,
/// or to the freshest other database. They never cross the border of a pinned zone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawVectorDb {
    /// Address of the database, `ip:port` or `name:port`.
    pub endpoint: String,
    /// Role of the database in its replication group.
    pub role: RawRole,
    /// Address on which the gateway listens for clients in its region, `ip:port` of the region's own network, e.g. `10.0.1.1:19530`.
    /// Required: whoever reaches it reads the database, without a certificate.
    #[schemars(required)]
    pub listen: Option<String>,
    /// Port on which the gateway listens for other gateways that may read this database, over mTLS, at `gateway.address`. Default:
    /// `8444`.
    pub gateway_port: Option<u16>,
}

/// Role of a database in its replication group.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawRole {
    /// Applications write to this database.
    Primary,
    /// This database replicates the primary.
    Replica,
}
