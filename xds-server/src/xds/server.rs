//! The gRPC server of xDS.

mod ads;
mod api;
mod connection;
mod inbound;
mod limits;
mod outbound;
mod session;
mod tls;
mod variant;

use super::hub::Hub;
use super::identity::{Refused, Trust};
use ads::Ads;
pub(super) use limits::Limits;
use session::Shared;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tonic::Status;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

pub use api::serve_api;
pub use tls::{Certificates, Clients, Expiry, RefusedHandshake, RefusedHandshakes, Tls, TlsError};

/// A client that is gone is noticed after the sum of the two.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for streams to end at shutdown.
const DRAIN: Duration = Duration::from_secs(5);
/// Limit of streams per connection; a gateway needs two or three.
const STREAMS: u32 = 32;
/// Bytes that a client may send before they are read: of one stream, and of its connection. The default, 1 MiB for each, is the memory
/// that a client can take by requests that nobody reads, because it does not read the responses.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 512 << 10;

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Without TLS any client on the network would be accepted.
    #[error("without TLS the control plane listens on loopback only, not on {0}")]
    NotLoopback(SocketAddr),
    /// The listener has no address.
    #[error("the listener of the gRPC server")]
    Listener(#[from] std::io::Error),
    /// The server failed.
    #[error("the gRPC server")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves the resources of `hub` to clients that `trust` accepts, over mutual TLS, or on loopback without `tls`. `more`
/// has further services (`Routes::default()`: none), which may use the same `trust`.
///
/// When `shutdown` completes, no new connections are accepted and xDS streams end with status OK. Streams still open
/// after 5 s are dropped.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Certificates>>,
    hub: Arc<Hub>,
    trust: Arc<Trust>,
    more: Routes,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_within(Limits::default(), listener, tls, hub, trust, more, shutdown).await
}

/// [`serve`] with these limits.
pub(super) async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    tls: Option<Arc<Certificates>>,
    hub: Arc<Hub>,
    trust: Arc<Trust>,
    more: Routes,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS);
    if tls.is_none() && !address.ip().to_canonical().is_loopback() {
        return Err(ServeError::NotLoopback(address));
    }
    let (stop, stopped) = watch::channel(false);
    let ads = Ads::new(Shared {
        hub: Arc::clone(&hub),
        trust,
        stopped: stopped.clone(),
        places: Arc::new(Semaphore::new(limits.streams)),
        first_request: limits.first_request,
    });
    let incoming = TcpIncoming::from(listener)
        .with_nodelay(Some(true))
        .with_keepalive(Some(KEEPALIVE_INTERVAL));
    let incoming = connection::limited(incoming, limits.connections, hub);
    let router = server.add_routes(more.add_service(ads));
    let serving = async {
        match tls {
            Some(tls) => {
                let connections = tls.connections(incoming);
                let serving = router.serve_with_incoming_shutdown(connections, until(stopped));
                serving.await
            }
            None => {
                let serving = router.serve_with_incoming_shutdown(incoming, until(stopped));
                serving.await
            }
        }
    };
    tracing::info!(%address, "serving xDS");
    until_drained(serving, &stop, shutdown).await
}

/// Runs a server until `shutdown` completes. Then it tells `stop`, and what is under way has [`DRAIN`] to end.
async fn until_drained(
    serving: impl Future<Output = Result<(), tonic::transport::Error>>,
    stop: &watch::Sender<bool>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        () = shutdown => {}
    }
    stop.send_replace(true);
    match tokio::time::timeout(DRAIN, serving).await {
        Ok(ended) => Ok(ended?),
        Err(_) => {
            tracing::warn!("some streams did not end in time");
            Ok(())
        }
    }
}

/// Completes when the server shuts down or is gone.
async fn until(mut stopped: watch::Receiver<bool>) {
    let _gone = stopped.wait_for(|stopped| *stopped).await;
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::NoCertificate => Self::unauthenticated(message),
            _ => Self::permission_denied(message),
        }
    }
}
