//! TLS of the gRPC server: certificates that are replaced while it runs, and handshakes that are refused.

use super::connection::{Accepted, Connection};
use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{CertificateError, InconsistentKeys, RootCertStore, ServerConfig};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::Connected;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Time limit of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The wait after a connection could not be accepted, e.g. because there are too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The files of mutual TLS, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate chain.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
    /// The authorities of clients' certificates. While they are rolled over, the old and the new one. May be empty for [`Clients::Any`].
    pub ca: Vec<u8>,
    /// Who connects.
    pub clients: Clients,
}

/// Who connects to a port, and by which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Who has a certificate, by HTTP/2.
    Certified,
    /// Anybody, by HTTP/1.1 or HTTP/2. A certificate is checked where there is one.
    Any,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate is not PEM, or there is none in the file.
    #[error("`certificate` has no certificate that can be read: {0}")]
    Certificate(String),
    /// The key is not PEM, or there is none in the file.
    #[error("`key` has no private key that can be read: {0}")]
    Key(String),
    /// An authority cannot be read, or there is none in the file.
    #[error("`ca` has no authority that can be read: {0}")]
    Ca(String),
    /// The key is of another certificate.
    #[error("`key` is not the key of `certificate`; replace both")]
    Mismatch,
    /// They can be read and not be used.
    #[error("the certificate cannot be used: {0}")]
    Unusable(rustls::Error),
}

/// The certificates of the server. They can be replaced while it runs: connections stay, and handshakes that begin later
/// use the new ones.
#[derive(Debug)]
pub struct Certificates {
    current: ArcSwap<Current>,
    refused: Mutex<RefusedHandshakes>,
    /// By the client's address, for connections that are open: when the client's certificate ends.
    clients: Mutex<HashMap<SocketAddr, i64>>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    expiry: Expiry,
}

/// When certificates end, in seconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// The server's certificate.
    pub certificate: i64,
    /// The authorities of clients, by subject.
    pub authorities: BTreeMap<String, i64>,
}

/// Handshakes that failed since the start.
#[derive(Clone, Debug, Default)]
pub struct RefusedHandshakes {
    /// Their number, by reason.
    pub counts: BTreeMap<&'static str, u64>,
    /// The last one.
    pub last: Option<RefusedHandshake>,
}

/// A handshake that failed.
#[derive(Clone, Debug)]
pub struct RefusedHandshake {
    /// When it failed.
    pub at: Instant,
    /// The client's address.
    pub remote: SocketAddr,
    /// Why, for metrics.
    pub reason: &'static str,
    /// Why, for people.
    pub message: String,
}

impl Certificates {
    /// # Errors
    ///
    /// The certificates cannot be used.
    pub fn new(tls: &Tls) -> Result<Self, TlsError> {
        Ok(Self {
            current: ArcSwap::from_pointee(Current::new(tls)?),
            refused: Mutex::default(),
            clients: Mutex::default(),
        })
    }

    /// Replaces the certificates. Connections that are open stay.
    ///
    /// # Errors
    ///
    /// The new ones cannot be used. The old ones stay.
    pub fn replace(&self, tls: &Tls) -> Result<(), TlsError> {
        self.current.store(Arc::new(Current::new(tls)?));
        Ok(())
    }

    /// When the certificates in force end.
    pub fn expiry(&self) -> Expiry {
        self.current.load().expiry.clone()
    }

    /// Handshakes that failed.
    pub fn refused(&self) -> RefusedHandshakes {
        lock(&self.refused).clone()
    }

    /// When the certificate ends that the client of an open connection has presented, in seconds since the Unix epoch.
    pub fn of_client(&self, remote: SocketAddr) -> Option<i64> {
        lock(&self.clients).get(&remote).copied()
    }

    /// The connections that pass the handshake. Handshakes do not wait for each other.
    pub(super) fn connections(
        self: &Arc<Self>,
        incoming: impl Stream<Item = io::Result<Accepted>> + Send + 'static,
    ) -> ReceiverStream<io::Result<Secured>> {
        let (sender, receiver) = mpsc::channel(1);
        let certificates = Arc::clone(self);
        tokio::spawn(async move {
            tokio::pin!(incoming);
            loop {
                let accepted = tokio::select! {
                    () = sender.closed() => return,
                    accepted = incoming.next() => accepted,
                };
                let stream = match accepted {
                    Some(Ok(stream)) => stream,
                    Some(Err(error)) => {
                        tracing::warn!(%error, "a connection cannot be accepted");
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                        continue;
                    }
                    None => return,
                };
                let (certificates, sender) = (Arc::clone(&certificates), sender.clone());
                tokio::spawn(async move {
                    if let Some(connection) = certificates.handshake(stream).await {
                        // An error means that the server has ended.
                        let _ = sender.send(Ok(connection)).await;
                    }
                });
            }
        });
        ReceiverStream::new(receiver)
    }

    async fn handshake(self: Arc<Self>, stream: Accepted) -> Option<Secured> {
        let remote = stream.connect_info().remote_addr()?;
        let acceptor = TlsAcceptor::from(Arc::clone(&self.current.load().config));
        match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Some(self.connected(remote, stream)),
            Ok(Err(error)) => {
                self.refuse(remote, reason(&error), error.to_string());
                None
            }
            Err(_) => {
                let message = format!("no handshake within {} s", HANDSHAKE.as_secs());
                self.refuse(remote, "timeout", message);
                None
            }
        }
    }

    fn connected(self: Arc<Self>, remote: SocketAddr, stream: TlsStream<Accepted>) -> Secured {
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        let ends = chain.first().and_then(|own| not_after(own));
        if let Some(ends) = ends {
            lock(&self.clients).insert(remote, ends);
        }
        let client = Client {
            remote,
            certificates: self,
        };
        Connection::new(stream, client)
    }

    fn refuse(&self, remote: SocketAddr, reason: &'static str, message: String) {
        let mut refused = lock(&self.refused);
        *refused.counts.entry(reason).or_default() += 1;
        // A load balancer that only looks whether the port is open is no news.
        if reason == CLOSED {
            return;
        }
        tracing::warn!(%remote, reason, message, "TLS handshake refused");
        refused.last = Some(RefusedHandshake {
            at: Instant::now(),
            remote,
            reason,
            message,
        });
    }
}

impl Current {
    fn new(tls: &Tls) -> Result<Self, TlsError> {
        let chain = certificates(&tls.certificate).map_err(TlsError::Certificate)?;
        let key =
            PrivateKeyDer::from_pem_slice(&tls.key).map_err(|error| TlsError::Key(said(&error)))?;
        let authorities = match (tls.clients, tls.ca.as_slice()) {
            (Clients::Any, []) => Vec::new(),
            (_, ca) => certificates(ca).map_err(TlsError::Ca)?,
        };
        let expiry = Expiry::of(&chain, &authorities)?;
        Ok(Self {
            config: Arc::new(config(chain, key, authorities, tls.clients)?),
            expiry,
        })
    }
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authorities: Vec<CertificateDer<'static>>,
    clients: Clients,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(authorities, clients, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch,
            other => TlsError::Unusable(other),
        })?;
    config.alpn_protocols = match clients {
        Clients::Certified => vec![b"h2".to_vec()],
        Clients::Any => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    // A session that is resumed proves nothing anew: its certificate may have expired since.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Checks the certificates of clients.
fn verifier(
    authorities: Vec<CertificateDer<'static>>,
    clients: Clients,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if authorities.is_empty() {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        let added = roots.add(authority);
        added.map_err(|error| TlsError::Ca(error.to_string()))?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match clients {
        Clients::Certified => builder,
        Clients::Any => builder.allow_unauthenticated(),
    };
    let verifier = builder.build();
    verifier.map_err(|error| TlsError::Ca(error.to_string()))
}

impl Expiry {
    fn of(
        chain: &[CertificateDer<'_>],
        authorities: &[CertificateDer<'_>],
    ) -> Result<Self, TlsError> {
        let unreadable = || "it is no X.509 certificate".to_owned();
        let own = chain.first().and_then(|own| not_after(own));
        let mut by_subject = BTreeMap::new();
        for authority in authorities {
            let (_, authority) =
                X509Certificate::from_der(authority).map_err(|_| TlsError::Ca(unreadable()))?;
            let ends = authority.validity().not_after.timestamp();
            // Of two with one subject, an old and a new one, the first that ends.
            by_subject
                .entry(authority.subject().to_string())
                .and_modify(|first: &mut i64| *first = ends.min(*first))
                .or_insert(ends);
        }
        Ok(Self {
            certificate: own.ok_or_else(|| TlsError::Certificate(unreadable()))?,
            authorities: by_subject,
        })
    }
}

/// All certificates of a PEM file, at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err(said(&pem::Error::NoItemsFound)),
        Ok(all) => Ok(all),
        Err(error) => Err(said(&error)),
    }
}

/// An error without bytes of the file: it may be the wrong one, with a key.
fn said(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "there is none in the file",
        pem::Error::MissingSectionEnd { .. } => "the file is cut off",
        _ => "it is not PEM",
    }
    .to_owned()
}

fn not_after(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// The reason of a client that leaves without a handshake.
const CLOSED: &str = "closed";

/// Why a handshake failed: a short, stable name for metrics.
fn reason(error: &io::Error) -> &'static str {
    let tls = error.get_ref().and_then(|error| error.downcast_ref());
    match tls {
        None => CLOSED,
        Some(rustls::Error::NoCertificatesPresented) => "no_certificate",
        // What the client thinks of our certificate.
        Some(rustls::Error::AlertReceived(_)) => "refused_by_client",
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "not_valid_yet"
            }
            // An authority with a known name and another key signs badly.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => "unknown_authority",
            _ => "certificate",
        },
        Some(_) => "protocol",
    }
}

/// A connection that has passed the handshake.
pub(super) type Secured = Connection<TlsStream<Accepted>, Client>;

/// The entry of a connected client. Dropping it removes it.
#[derive(Debug)]
pub(super) struct Client {
    remote: SocketAddr,
    certificates: Arc<Certificates>,
}

impl Drop for Client {
    fn drop(&mut self) {
        lock(&self.certificates.clients).remove(&self.remote);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
