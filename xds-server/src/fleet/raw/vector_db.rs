//! A region's vector database, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

/// The vector database that is read in a region: Milvus, PostgreSQL with pgvector, or any other that speaks TCP. The gateway
/// listens for those who retrieve and leads them to it; while it is too far behind (`policy.unhealthy.replication_lag`), to the
/// primary or the freshest of the others. Never across the border of a pinned zone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawVectorDb {
    /// Where it is, `ip:port` or `name:port`.
    pub endpoint: String,
    /// Whether it is written to, or follows the one that is.
    pub role: RawRole,
    /// Where the gateway listens for those in its region who retrieve. Default: `0.0.0.0:19530`.
    pub listen: Option<String>,
    /// The port at which it listens for the other gateways that may read it, over mTLS, at the address of `gateway`. Default:
    /// `8444`.
    pub gateway_port: Option<u16>,
}

/// What a database is among those that hold the same.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawRole {
    /// It is written to.
    Primary,
    /// It follows the primary.
    Replica,
}
