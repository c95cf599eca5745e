//! The messages of Envoy's `MetricsService`. Their series are not decoded at first: a gateway sends thousands, and few of them are read.

use bytes::Bytes;
use envoy_types::pb::envoy::service::metrics::v3::stream_metrics_message::Identifier;
use envoy_types::pb::io::prometheus::client::MetricFamily;
use meridian_policy::RegionName;
use prost::{DecodeError, Message};
use tonic::{Request, Status, Streaming};

/// `StreamMetricsMessage`, whose families are not decoded yet.
#[derive(Clone, PartialEq, Message)]
pub struct StreamMetricsMessage {
    /// Who sends the stream. In its first message only.
    #[prost(message, optional, tag = "1")]
    pub(super) identifier: Option<Identifier>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) families: Vec<Bytes>,
}

/// The name of a `MetricFamily`, without the rest of it.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(bytes = "bytes", tag = "1")]
    name: Bytes,
}

/// The families of these names.
pub(super) fn decode(
    families: Vec<Bytes>,
    is_known: impl Fn(&[u8]) -> bool,
) -> Result<Vec<MetricFamily>, DecodeError> {
    let mut known = Vec::new();
    for family in families {
        if is_known(&Named::decode(family.clone())?.name) {
            known.push(MetricFamily::decode(family)?);
        }
    }
    Ok(known)
}

/// What a stream's connection proves.
pub trait Identify:
    Fn(&Request<Streaming<StreamMetricsMessage>>) -> Result<Option<RegionName>, Status>
    + Send
    + Sync
    + 'static
{
}

impl<I> Identify for I where
    I: Fn(&Request<Streaming<StreamMetricsMessage>>) -> Result<Option<RegionName>, Status>
        + Send
        + Sync
        + 'static
{
}
