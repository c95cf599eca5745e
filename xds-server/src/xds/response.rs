//! Responses: a push as a gRPC message whose resources are shared bytes.

use super::encoded::{put_text, text_len};
use super::status::Wire;
use super::subscription::Push;
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::VecDeque;

/// `version_info` of `DiscoveryResponse`, `system_version_info` of `DeltaDiscoveryResponse`.
const VERSION: u32 = 1;
/// `type_url` of both.
const TYPE_URL: u32 = 4;
/// `nonce` of both.
const NONCE: u32 = 5;
/// `removed_resources` of `DeltaDiscoveryResponse`.
const REMOVED: u32 = 6;

/// Limit of a response, in bytes: a whole configuration.
const LIMIT: usize = 64 << 20;
/// Bytes that are copied together into one chunk: an HTTP/2 frame.
const CHUNK: usize = 16 << 10;
/// Resources of at least this many bytes are not copied.
const LARGE: usize = 4 << 10;

/// A response that is not sent yet, or in parts.
#[derive(Debug)]
pub(super) struct Response {
    parts: VecDeque<Bytes>,
}

impl Response {
    /// A push as a gRPC message. `None` if it is too long.
    pub fn new(push: &Push, wire: Wire) -> Option<Self> {
        let entries = push.resources.iter();
        let entries = entries.map(|resource| resource.entry(wire));
        let fields = [
            (VERSION, &*push.version),
            (TYPE_URL, push.kind.type_url()),
            (NONCE, &push.nonce),
        ];
        let removed = push.removed.iter().map(|name| (REMOVED, &**name));
        let fields = fields.into_iter().chain(removed);
        let head: usize = fields.clone().map(|(_, text)| text_len(text)).sum();
        let mut parts = VecDeque::with_capacity(push.resources.len() + 1);
        parts.push_back(Bytes::new());
        parts.extend(entries);
        let length = head + parts.iter().map(Bytes::len).sum::<usize>();
        let mut first = BytesMut::with_capacity(HEADER + head);
        first.put_u8(0); // Not compressed.
        first.put_u32(u32::try_from(length).ok().filter(|_| length <= LIMIT)?);
        for (field, text) in fields {
            put_text(field, text, &mut first);
        }
        *parts.front_mut()? = first.freeze();
        Some(Self { parts })
    }

    /// The next bytes to send. Small parts are copied into one chunk, large ones are shared.
    pub fn next_chunk(&mut self) -> Option<Bytes> {
        let first = self.parts.pop_front()?;
        let together =
            |next: &Bytes, so_far: usize| next.len() < LARGE && so_far + next.len() <= CHUNK;
        let alone = match self.parts.front() {
            Some(next) => !together(next, first.len()),
            None => true,
        };
        if alone {
            return Some(first);
        }
        let mut sum = first.len();
        let next = self.parts.iter().take_while(|next| {
            let fits = together(next, sum);
            sum += if fits { next.len() } else { 0 };
            fits
        });
        let count = next.count();
        let mut chunk = BytesMut::with_capacity(sum);
        chunk.put(first);
        for part in self.parts.drain(..count) {
            chunk.put(part);
        }
        Some(chunk.freeze())
    }

    /// The message without gRPC's prefix.
    #[cfg(test)]
    pub fn message(mut self) -> Bytes {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.next_chunk() {
            all.put(chunk);
        }
        all.freeze().slice(HEADER..)
    }
}

/// Bytes of gRPC's prefix of a message: a flag and a length.
pub(super) const HEADER: usize = 5;
