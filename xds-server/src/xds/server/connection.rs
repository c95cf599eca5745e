//! Connections, of which there may be a limited number.

use crate::xds::hub::Hub;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::Connected;

/// A connection that was accepted, and its place among them.
pub(super) type Accepted = Connection<TcpStream, OwnedSemaphorePermit>;

/// Closes what is accepted beyond the limit, and counts it.
pub(super) fn limited(
    accepted: impl Stream<Item = io::Result<TcpStream>>,
    limit: usize,
    hub: Arc<Hub>,
) -> impl Stream<Item = io::Result<Accepted>> {
    let places = Arc::new(Semaphore::new(limit));
    accepted.filter_map(move |accepted| {
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => return Some(Err(error)),
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            hub.count_refused("too_many_connections");
            return None;
        };
        Some(Ok(Connection::new(stream, place)))
    })
}

/// A connection, and something that is dropped when it ends.
#[derive(Debug)]
pub(super) struct Connection<S, D> {
    stream: S,
    _dropped_at_the_end: D,
}

impl<S, D> Connection<S, D> {
    pub fn new(stream: S, dropped_at_the_end: D) -> Self {
        Self {
            stream,
            _dropped_at_the_end: dropped_at_the_end,
        }
    }
}

impl<S: Connected, D> Connected for Connection<S, D> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

impl<S: AsyncRead + Unpin, D: Unpin> AsyncRead for Connection<S, D> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin, D: Unpin> AsyncWrite for Connection<S, D> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
