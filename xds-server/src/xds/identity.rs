//! Authenticates clients: the region in the client's certificate must be the region that the client claims.

use arc_swap::ArcSwap;
use envoy_types::pb::envoy::config::core::v3::Node;
use meridian_policy::RegionName;
use std::collections::BTreeSet;
use std::sync::Arc;
use tonic::Request;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Why a caller is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// TLS without a client certificate.
    #[error("a client certificate is required")]
    NoCertificate,
    /// No TLS, and not from loopback.
    #[error("without TLS only this machine may connect")]
    NotLocal,
    /// The certificate does not name exactly one region.
    #[error("the client certificate names no region: {0}")]
    Certificate(&'static str),
    /// Neither certificate nor node names a region.
    #[error("node.locality.region is required without TLS")]
    NoRegion,
    /// The fleet has no such region.
    #[error("the fleet has no region `{0}`")]
    UnknownRegion(String),
    /// The node claims a region that its certificate does not name.
    #[error("the certificate names region `{certificate}`, the node claims `{node}`")]
    OtherRegion {
        /// The region of the certificate.
        certificate: RegionName,
        /// `node.locality.region`.
        node: String,
    },
}

impl Refused {
    /// A short, stable name for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::NotLocal => "not_local",
            Self::Certificate(_) => "certificate",
            Self::NoRegion => "no_region",
            Self::UnknownRegion(_) => "unknown_region",
            Self::OtherRegion { .. } => "other_region",
        }
    }
}

/// The identities that the control plane accepts.
#[derive(Debug)]
pub struct Trust {
    domain: String,
    regions: ArcSwap<BTreeSet<RegionName>>,
}

/// The identity that a connection proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A certificate of this region.
    Certified(RegionName),
    /// A connection from loopback without TLS.
    Local,
}

impl Trust {
    /// Accepts certificates with a SAN `spiffe://<domain>/region/<region>` of these regions.
    pub fn new(domain: impl Into<String>, regions: BTreeSet<RegionName>) -> Self {
        Self {
            domain: domain.into(),
            regions: ArcSwap::from_pointee(regions),
        }
    }

    /// Replaces the regions after an edit of the fleet. Open streams stay open.
    pub fn set_regions(&self, regions: BTreeSet<RegionName>) {
        self.regions.store(Arc::new(regions));
    }

    /// The identity that a request's connection proves, before any message is read. For all services of [`serve`].
    ///
    /// [`serve`]: super::serve
    pub fn peer<T>(&self, request: &Request<T>) -> Result<Peer, Refused> {
        match certificate(request)? {
            Some(certificate) => {
                let region = certified_region(&certificate, &self.domain)?;
                Ok(Peer::Certified(self.known(&region)?))
            }
            None => Ok(Peer::Local),
        }
    }

    /// The SPIFFE ID of the trust domain that a request's connection proves; `None` for a connection from loopback
    /// without TLS.
    pub fn id<T>(&self, request: &Request<T>) -> Result<Option<String>, Refused> {
        let certificate = certificate(request)?;
        certificate
            .map(|certificate| spiffe_id(&certificate, &self.domain))
            .transpose()
    }

    /// The region of a client.
    ///
    /// # Errors
    ///
    /// If the node claims another region than its certificate, or no known region at all.
    pub fn region(&self, peer: &Peer, node: Option<&Node>) -> Result<RegionName, Refused> {
        let locality = node.and_then(|node| node.locality.as_ref());
        let claimed = locality.map(|locality| locality.region.as_str());
        let claimed = claimed.filter(|region| !region.is_empty());
        match (peer, claimed) {
            (Peer::Certified(region), Some(claimed)) if claimed != region.as_str() => {
                Err(Refused::OtherRegion {
                    certificate: region.clone(),
                    node: claimed.to_owned(),
                })
            }
            (Peer::Certified(region), _) => Ok(region.clone()),
            (Peer::Local, Some(claimed)) => self.known(claimed),
            (Peer::Local, None) => Err(Refused::NoRegion),
        }
    }

    fn known(&self, region: &str) -> Result<RegionName, Refused> {
        let regions = self.regions.load();
        let known = regions.get(region).cloned();
        known.ok_or_else(|| Refused::UnknownRegion(region.to_owned()))
    }
}

/// The certificate of a client, as DER; `None` for a connection from loopback without TLS.
fn certificate<T>(request: &Request<T>) -> Result<Option<Vec<u8>>, Refused> {
    let extensions = request.extensions();
    if let Some(tls) = extensions.get::<TlsConnectInfo<TcpConnectInfo>>() {
        let chain = tls.peer_certs().ok_or(Refused::NoCertificate)?;
        let certificate = chain.first().ok_or(Refused::NoCertificate)?;
        return Ok(Some(certificate.to_vec()));
    }
    let remote = request.remote_addr();
    if remote.is_some_and(|remote| remote.ip().to_canonical().is_loopback()) {
        Ok(None)
    } else {
        Err(Refused::NotLocal)
    }
}

/// The region that a certificate (DER) names.
fn certified_region(certificate: &[u8], domain: &str) -> Result<String, Refused> {
    let id = spiffe_id(certificate, domain)?;
    let region = id
        .strip_prefix(&format!("spiffe://{domain}/region/"))
        .filter(|region| is_name(region));
    region.map(str::to_owned).ok_or(Refused::Certificate(
        "its SPIFFE ID is not /region/<region>",
    ))
}

/// The SPIFFE ID of the trust domain that a certificate (DER) names. Unusual encodings are refused, because another
/// program may read them differently.
fn spiffe_id(certificate: &[u8], domain: &str) -> Result<String, Refused> {
    let odd = Refused::Certificate;
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Err(odd("it cannot be read"));
    };
    let Ok(names) = certificate.subject_alternative_name() else {
        return Err(odd("its alternative names cannot be read"));
    };
    let names = names.ok_or(odd("it has no alternative names"))?;
    let prefix = format!("spiffe://{domain}/");
    let mut ours = Vec::new();
    for name in &names.value.general_names {
        let text = match name {
            GeneralName::URI(text) | GeneralName::DNSName(text) | GeneralName::RFC822Name(text) => {
                *text
            }
            GeneralName::Invalid(..) => return Err(odd("an alternative name is invalid")),
            _ => continue,
        };
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(odd("an alternative name has bytes that no name has"));
        }
        let start = text.get(..prefix.len()).unwrap_or(text);
        if matches!(name, GeneralName::URI(_)) && start.eq_ignore_ascii_case(&prefix) {
            ours.push(text);
        }
    }
    let [ours] = ours.as_slice() else {
        return Err(odd("it needs exactly one SPIFFE ID of the trust domain"));
    };
    Ok((*ours).to_owned())
}

/// Characters that a path segment of a SPIFFE ID may have.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text != "." && text != ".." && text.bytes().all(allowed)
}
