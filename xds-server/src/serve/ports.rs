//! The ports of the control plane and its certificates.

use super::certificates::CertificateFiles;
use anyhow::{Context, Result};
use meridian_policy::fleet::ControlPlane;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// The open ports of the control plane.
pub struct Ports {
    /// The port of the gateways, `control_plane.listen`.
    pub xds: TcpListener,
    /// The port of `meridian status` and Prometheus, `control_plane.status`.
    pub status: TcpListener,
    /// The certificates of the xDS port; `None` without TLS.
    pub certificates: Option<CertificateFiles>,
}

impl Ports {
    /// Binds both ports and reads the TLS files.
    ///
    /// # Errors
    ///
    /// If a port is taken or a file cannot be read. The error names the field of the fleet file.
    pub async fn open(control_plane: &ControlPlane) -> Result<Self> {
        Ok(Self {
            xds: bind("control_plane.listen", control_plane.listen).await?,
            status: bind("control_plane.status", control_plane.status).await?,
            certificates: control_plane
                .tls
                .clone()
                .map(CertificateFiles::open)
                .transpose()?,
        })
    }
}

async fn bind(field: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{field}: cannot listen on {address}"))
}
