//! Who may use the API of a port.

use super::caller::{Caller, Role};
use super::failure::Failure;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};

/// Who may use the API of a port.
#[derive(Clone)]
pub enum Access {
    /// Whoever connects from loopback, for everything.
    Loopback,
}

/// Lets requests pass whose caller may use the API, and says who it is.
pub async fn authenticated(
    State(access): State<Access>,
    mut request: Request,
    next: Next,
) -> Response {
    match access.caller(&request) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

impl Access {
    fn caller(&self, request: &Request) -> Result<Caller, Failure> {
        match self {
            Self::Loopback => from_loopback(address(request)?),
        }
    }
}

/// The address of the caller.
fn address(request: &Request) -> Result<IpAddr, Failure> {
    let remote = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let remote = remote.ok_or_else(|| {
        Failure::new(
            StatusCode::FORBIDDEN,
            "the address of the caller is not known",
        )
    })?;
    Ok(remote.0.ip().to_canonical())
}

fn from_loopback(ip: IpAddr) -> Result<Caller, Failure> {
    if ip.is_loopback() {
        return Ok(Caller {
            from: ip.to_string(),
            role: Role::Operate,
        });
    }
    let error = format!(
        "{ip} is another machine; this port serves `/v1` to the control plane's own machine, `control_plane.api` to others"
    );
    Err(Failure::new(StatusCode::FORBIDDEN, error))
}
