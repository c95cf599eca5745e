//! Responses as far as a load tool reads them, and how many bytes they have. Resources are not decoded: the tool has the same processors as
//! the control plane.

use bytes::{Buf, Bytes};
use prost::Message;
use std::marker::PhantomData;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// `DiscoveryResponse`, with undecoded resources.
#[derive(Clone, PartialEq, Message)]
pub struct SotwResponse {
    #[prost(string, tag = "1")]
    pub version_info: String,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub resources: Vec<Bytes>,
    #[prost(string, tag = "4")]
    pub type_url: String,
    #[prost(string, tag = "5")]
    pub nonce: String,
}

/// `DeltaDiscoveryResponse`, with names and versions of its resources.
#[derive(Clone, PartialEq, Message)]
pub struct DeltaResponse {
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Named>,
    #[prost(string, tag = "4")]
    pub type_url: String,
    #[prost(string, tag = "5")]
    pub nonce: String,
    #[prost(string, repeated, tag = "6")]
    pub removed_resources: Vec<String>,
}

/// `Resource`, without its content.
#[derive(Clone, PartialEq, Message)]
pub struct Named {
    #[prost(string, tag = "1")]
    pub version: String,
    #[prost(string, tag = "3")]
    pub name: String,
}

/// A codec that counts the bytes of responses.
pub struct Counting<Q, S>(PhantomData<(Q, S)>);

impl<Q, S> Default for Counting<Q, S> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Q: Message + 'static, S: Message + Default + 'static> Codec for Counting<Q, S> {
    type Encode = Q;
    type Decode = (S, usize);
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<Q: Message, S> Encoder for Counting<Q, S> {
    type Item = Q;
    type Error = Status;

    fn encode(&mut self, item: Q, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let encoded = item.encode(to);
        encoded.map_err(|error| Status::internal(error.to_string()))
    }
}

impl<Q, S: Message + Default> Decoder for Counting<Q, S> {
    type Item = (S, usize);
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let length = from.remaining();
        let message = S::decode(from).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Some((message, length)))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
