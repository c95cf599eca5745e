//! Who may use the API of a port.

use super::caller::{Caller, Role};
use super::failure::Failure;
use super::operators::{NoOperator, Operators};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::uri::Authority;
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;
use tonic::Status;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Who may use the API of a port.
#[derive(Clone)]
pub enum Access {
    /// Whoever connects from loopback, for everything.
    Loopback,
    /// The operators of the file, over TLS.
    Operators(Arc<Operators>),
}

/// Why a request is refused, for metrics, and the answer.
type Denied = (&'static str, Failure);

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
        Err(failure) if is_grpc(request.headers()) => {
            let answer = Status::from(failure).into_http::<axum::body::Body>();
            answer.into_response()
        }
        Err(failure) => failure.into_response(),
    }
}

impl Access {
    fn caller(&self, request: &Request) -> Result<Caller, Failure> {
        match self {
            Self::Loopback => {
                for_own_name(request)?;
                from_loopback(request.extensions())
            }
            Self::Operators(operators) => {
                let operator = operator(operators, request.headers(), request.extensions());
                operator.map_err(|(reason, failure)| {
                    operators.count_refused(reason);
                    failure
                })
            }
        }
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Refuses what a page of another site makes a browser of this machine send: such a site may give its own name this machine's address.
fn for_own_name(request: &Request) -> Result<(), Failure> {
    let header = request.headers().get(HOST);
    let host = header.map(|host| host.to_str().unwrap_or_default());
    let Some(host) = host.or(request.uri().host()) else {
        return Ok(());
    };
    let is_own = host.parse::<Authority>().is_ok_and(|authority| {
        let name = authority.host().trim_matches(['[', ']']);
        name == "localhost" || name.parse::<IpAddr>().is_ok()
    });
    if is_own {
        return Ok(());
    }
    let error = format!(
        "the header `host` is `{host}`; this port answers to an IP address or `localhost`, `control_plane.api` to names"
    );
    Err(Failure::new(StatusCode::FORBIDDEN, error))
}

fn from_loopback(extensions: &Extensions) -> Result<Caller, Failure> {
    let remote = extensions.get::<ConnectInfo<SocketAddr>>();
    let ip = remote.map(|remote| remote.0.ip().to_canonical());
    match ip {
        Some(ip) if ip.is_loopback() => Ok(Caller {
            from: ip.to_string(),
            role: Role::Operate,
        }),
        _ => {
            let other = ip.map_or_else(|| "the caller".to_owned(), |ip| ip.to_string());
            let error = format!(
                "{other} is another machine; this port serves `/v1` to the control plane's own machine, `control_plane.api` to others"
            );
            Err(Failure::new(StatusCode::FORBIDDEN, error))
        }
    }
}

/// The operator that a token tells, or a client certificate where there is no token.
fn operator(
    operators: &Operators,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Caller, Denied> {
    let now = SystemTime::now();
    let connection = extensions.get::<TlsConnectInfo<TcpConnectInfo>>();
    let remote = connection.and_then(|tls| tls.get_ref().remote_addr());
    let ip = remote.map(|remote| remote.ip().to_canonical());
    if headers.contains_key(AUTHORIZATION) {
        let token = bearer(headers).ok_or_else(|| {
            let error = "the header `authorization` is not `Bearer TOKEN`";
            unauthorized("malformed", error)
        })?;
        let entry = operators.of_token(token, now);
        let entry = entry.map_err(|none| no_operator(&none, "the token"))?;
        return Ok(named("token", &entry.name, entry.role, ip));
    }
    let chain = connection.and_then(TlsConnectInfo::peer_certs);
    let certificate = chain.as_ref().and_then(|chain| chain.first());
    let Some(certificate) = certificate else {
        let error = "send a token (`authorization: Bearer TOKEN`) or a client certificate";
        return Err(unauthorized("no_credentials", error));
    };
    let entry = operators.of_certificate(&names(certificate), now);
    let entry = entry.map_err(|none| no_operator(&none, "the client certificate"))?;
    Ok(named("certificate", &entry.name, entry.role, ip))
}

fn named(kind: &str, name: &str, role: Role, ip: Option<IpAddr>) -> Caller {
    let from = match ip {
        Some(ip) => format!("{kind} {name}, {ip}"),
        None => format!("{kind} {name}"),
    };
    Caller { from, role }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn no_operator(none: &NoOperator, what: &str) -> Denied {
    match none {
        NoOperator::Unknown => {
            let error = format!("{what} is of no operator; `control_plane.api.operators` has them");
            unauthorized("unknown", error)
        }
        NoOperator::Expired(name) => {
            let error = format!("the time of the operator `{name}` is over; it needs a new token");
            unauthorized("expired", error)
        }
    }
}

fn unauthorized(reason: &'static str, error: impl Into<String>) -> Denied {
    (reason, Failure::new(StatusCode::UNAUTHORIZED, error))
}

/// The alternative names of a certificate (DER).
fn names(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names
        .iter()
        .flat_map(|names| names.value.general_names.iter());
    names
        .filter_map(|name| match name {
            GeneralName::URI(name) | GeneralName::DNSName(name) | GeneralName::RFC822Name(name) => {
                Some((*name).to_owned())
            }
            _ => None,
        })
        .collect()
}
