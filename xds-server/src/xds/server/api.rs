//! Another port with the same TLS and limits: for operators.

use super::tls::Certificates;
use super::{
    KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, STREAMS, ServeError, connection, until, until_drained,
};
use crate::xds::hub::Hub;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// Connections at the same time: operators and what they run.
const CONNECTIONS: usize = 256;

/// Serves routes over TLS by HTTP/1.1 and HTTP/2. `hub` counts connections that are too many.
///
/// When `shutdown` completes, no new connections are accepted. Requests still under way after 5 s are dropped.
pub async fn serve_api(
    listener: TcpListener,
    tls: Arc<Certificates>,
    hub: Arc<Hub>,
    routes: Routes,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    let incoming = TcpIncoming::from(listener)
        .with_nodelay(Some(true))
        .with_keepalive(Some(KEEPALIVE_INTERVAL));
    let connections = tls.connections(connection::limited(incoming, CONNECTIONS, hub));
    let (stop, stopped) = watch::channel(false);
    let serving = Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(STREAMS)
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections, until(stopped));
    tracing::info!(%address, "serving the admin API");
    until_drained(serving, &stop, shutdown).await
}
