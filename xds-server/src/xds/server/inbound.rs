//! Requests of a stream. The buffer of a request is freed with it: Envoy's first one has all its extensions, and the stream lives on
//! for months.

use crate::xds::response::HEADER;
use bytes::{Buf, BytesMut};
use http_body::Body as _;
use prost::Message;
use std::future::poll_fn;
use std::pin::Pin;
use tonic::Status;
use tonic::body::Body;

/// Limit of a request, in bytes. It contains names, versions, and Envoy's list of extensions.
const LIMIT: usize = 4 << 20;

/// The requests of a stream.
pub(super) struct Inbound {
    body: Body,
    pending: BytesMut,
}

impl Inbound {
    pub fn new(body: Body) -> Self {
        Self {
            body,
            pending: BytesMut::new(),
        }
    }

    /// The next request; `None` when the client has sent its last one. Nothing is lost if the future is dropped.
    pub async fn message<R: Message + Default>(&mut self) -> Result<Option<R>, Status> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            match poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.pending.extend_from_slice(&data);
                    }
                }
                None if self.pending.is_empty() => return Ok(None),
                None => return Err(Status::internal("the last request is not complete")),
            }
        }
    }

    /// A request that has arrived completely.
    fn take<R: Message + Default>(&mut self) -> Result<Option<R>, Status> {
        let Some([compressed, length @ ..]) = self.pending.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        if *compressed != 0 {
            return Err(Status::unimplemented("compressed requests are not read"));
        }
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > LIMIT {
            let message = format!("a request of {length} bytes; the limit is {LIMIT}");
            return Err(Status::out_of_range(message));
        }
        let Some(message) = self.pending.get(HEADER..HEADER + length) else {
            return Ok(None);
        };
        let message = R::decode(message)
            .map_err(|error| Status::internal(format!("a request cannot be read: {error}")))?;
        if self.pending.len() == HEADER + length {
            self.pending = BytesMut::new();
        } else {
            self.pending.advance(HEADER + length);
        }
        Ok(Some(message))
    }
}
