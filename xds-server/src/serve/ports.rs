//! The ports of the control plane and its certificates.

use super::certificates::CertificateFiles;
use super::operator::OperatorsFile;
use anyhow::{Context, Result};
use meridian_policy::fleet::{AdminApi, ControlPlane};
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpSocket};

/// The open ports of the control plane.
pub struct Ports {
    /// The port of the gateways, `control_plane.listen`.
    pub xds: TcpListener,
    /// The port of `meridian status` and Prometheus, `control_plane.status`. Of no runtime yet.
    pub status: std::net::TcpListener,
    /// The certificates of the xDS port; `None` without TLS.
    pub certificates: Option<CertificateFiles>,
    /// The port of the admin API, `control_plane.api.listen`.
    pub api: Option<ApiPort>,
}

/// The open port of the admin API.
pub struct ApiPort {
    /// The port.
    pub listener: TcpListener,
    /// Its certificates.
    pub certificates: CertificateFiles,
    /// Who may use it.
    pub operators: OperatorsFile,
}

impl ApiPort {
    fn open(api: &AdminApi) -> Result<Self> {
        Ok(Self {
            listener: bind("control_plane.api.listen", api.listen)?,
            certificates: CertificateFiles::open(api)?,
            operators: OperatorsFile::open(api.operators.clone())?,
        })
    }
}

impl Ports {
    /// Binds the ports, and reads the TLS files and the operators.
    ///
    /// # Errors
    ///
    /// If a port is taken or a file cannot be read. The error names the field of the fleet file.
    pub fn open(control_plane: &ControlPlane) -> Result<Self> {
        Ok(Self {
            xds: bind("control_plane.listen", control_plane.listen)?,
            status: bind("control_plane.status", control_plane.status)?.into_std()?,
            certificates: control_plane
                .tls
                .clone()
                .map(CertificateFiles::open)
                .transpose()?,
            api: control_plane.api.as_ref().map(ApiPort::open).transpose()?,
        })
    }
}

fn bind(field: &str, address: SocketAddr) -> Result<TcpListener> {
    listen(address).with_context(|| format!("{field}: cannot listen on {address}"))
}

/// Connections that wait until they are accepted. Beyond tokio's 1024 the kernel resets some, if all gateways come back in one moment.
const BACKLOG: u32 = 4096;

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
