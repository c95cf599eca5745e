//! The body of a stream: responses in chunks, made when there is room for them on the wire.
//!
//! Not a codec of tonic: its buffer grows to the longest message, and stays as long as the stream.

use crate::xds::response::Response;
use bytes::Bytes;
use http_body::{Body, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc::Receiver;
use tonic::codegen::http::HeaderMap;
use tonic::{Code, Status};

/// The responses of a stream, and how it ends.
pub(super) struct Outbound {
    responses: Receiver<Result<Response, Status>>,
    current: Option<Response>,
    ended: bool,
}

impl Outbound {
    pub fn new(responses: Receiver<Result<Response, Status>>) -> Self {
        Self {
            responses,
            current: None,
            ended: false,
        }
    }
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            if let Some(chunk) = self.current.as_mut().and_then(Response::next_chunk) {
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            self.current = None;
            let status = match ready!(self.responses.poll_recv(context)) {
                Some(Ok(response)) => {
                    self.current = Some(response);
                    continue;
                }
                Some(Err(status)) => status,
                None => Status::new(Code::Ok, ""),
            };
            self.ended = true;
            let mut trailers = HeaderMap::new();
            // Fails only if its message is no header: then it has a status without one.
            let _incomplete = status.add_header(&mut trailers);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
