//! Resources as they are sent. Each is encoded once, and its bytes are shared by all streams.
//!
//! Both variants of the protocol have the resources of a response in field 2: SotW as `Any`, delta as `Resource`, whose field 2
//! is that `Any`. An entry of a delta response that ends with this field therefore ends with the entry of a SotW response:
//!
//! ```text
//! 12 <length> 1a <length> <name> 0a <length> <version> 12 <length> <Any>
//! |                                                    |- SotW entry ---|
//! |- delta entry -------------------------------------------------------|
//! ```

use super::reference::References;
use super::status::Wire;
use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::pb::google::protobuf::Any;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use std::sync::{Arc, OnceLock};

/// `resources` of `DiscoveryResponse` and `DeltaDiscoveryResponse`, and `resource` of `Resource`.
const RESOURCES: u32 = 2;
/// `version` of `Resource`.
const VERSION: u32 = 1;
/// `name` of `Resource`.
const NAME: u32 = 3;

/// A resource before it is encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// Equal content has an equal version, also after a restart, and different content a different one, because the
    /// protocol compares versions only. The creator of the resource guarantees it, e.g. by a hash of its inputs.
    pub version: String,
    /// The packed resource. Its type URL must be that of its [`ResourceType`](super::ResourceType).
    pub body: Any,
}

/// A resource as it is sent.
#[derive(Debug)]
pub struct EncodedResource {
    name: Arc<str>,
    /// The version; see [`Resource::version`].
    pub version: Arc<str>,
    entry: Bytes,
    /// Where the entry of SotW begins.
    sotw: usize,
    /// Where its `Any` begins.
    body: usize,
    references: OnceLock<Box<References>>,
}

impl EncodedResource {
    /// Encodes a resource.
    pub(super) fn new(name: Arc<str>, resource: &Resource) -> Self {
        let body_length = resource.body.encoded_len();
        let sotw_length = delimited_len(body_length);
        let length = text_len(&name) + text_len(&resource.version) + sotw_length;
        let mut entry = BytesMut::with_capacity(delimited_len(length));
        put_delimiter(RESOURCES, length, &mut entry);
        put_text(NAME, &name, &mut entry);
        put_text(VERSION, &resource.version, &mut entry);
        let sotw = entry.len();
        put_delimiter(RESOURCES, body_length, &mut entry);
        let body = entry.len();
        resource.body.encode_raw(&mut entry);
        Self {
            name,
            version: resource.version.as_str().into(),
            entry: entry.freeze(),
            sotw,
            body,
            references: OnceLock::new(),
        }
    }

    /// The name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The packed resource, decoded anew.
    pub fn body(&self) -> Any {
        // These bytes were encoded above.
        Any::decode(self.entry.slice(self.body..)).unwrap_or_default()
    }

    /// The encoded field of a response that holds this resource.
    pub(super) fn entry(&self, wire: Wire) -> Bytes {
        match wire {
            Wire::Sotw => self.entry.slice(self.sotw..),
            Wire::Delta => self.entry.clone(),
        }
    }

    /// Whether the protocol considers them equal.
    pub(super) fn is_same(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        Arc::ptr_eq(self, other) || self.version == other.version
    }

    /// What it refers to, read once.
    pub(super) fn references(&self) -> &References {
        self.references
            .get_or_init(|| Box::new(References::of(&self.body())))
    }
}

impl PartialEq for EncodedResource {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.entry == other.entry
    }
}

impl Eq for EncodedResource {}

/// Appends a field of text.
pub(super) fn put_text(field: u32, text: &str, to: &mut impl BufMut) {
    put_delimiter(field, text.len(), to);
    to.put_slice(text.as_bytes());
}

fn put_delimiter(field: u32, length: usize, to: &mut impl BufMut) {
    encode_key(field, WireType::LengthDelimited, to);
    encode_varint(length as u64, to);
}

/// The length of a field with content of this length. All fields here have numbers below 16: their keys are one byte.
fn delimited_len(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

/// The length of a field of text.
pub(super) fn text_len(text: &str) -> usize {
    delimited_len(text.len())
}
