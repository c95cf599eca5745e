//! HTTP clients of sources. A source whose fleet entry has `tls` gets a client of its own.

use super::outcome::ScrapeError;
use meridian_policy::source::SourceTls;
use reqwest::{Certificate, Client, ClientBuilder, Identity};

/// The HTTP client of one source.
#[derive(Debug)]
pub(super) struct SourceClient {
    shared: Client,
    /// The client with the source's own TLS files, and the files' contents.
    own: Option<(Files, Client)>,
}

/// The contents of a source's TLS files, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Files {
    ca: Option<Vec<u8>>,
    /// Certificate and key, concatenated.
    identity: Option<Vec<u8>>,
}

/// The settings of all clients.
pub(super) fn builder() -> ClientBuilder {
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent("meridian")
        // A source's queries are sent concurrently.
        .pool_max_idle_per_host(16)
}

impl SourceClient {
    /// `shared` is the client for sources without TLS files.
    pub(super) fn new(shared: Client) -> Self {
        Self { shared, own: None }
    }

    /// The client. The files are read for every scrape, so that renewed certificates are used.
    pub(super) async fn get(&mut self, tls: Option<&SourceTls>) -> Result<Client, ScrapeError> {
        let Some(tls) = tls.cloned() else {
            return Ok(self.shared.clone());
        };
        let files = tokio::task::spawn_blocking(move || Files::read(&tls)).await;
        let files = files.map_err(|_| ScrapeError::Reader)??;
        match &self.own {
            Some((known, client)) if *known == files => Ok(client.clone()),
            _ => {
                let client = files.client()?;
                self.own = Some((files, client.clone()));
                Ok(client)
            }
        }
    }
}

impl Files {
    fn read(tls: &SourceTls) -> Result<Self, ScrapeError> {
        let read = |path: &String| {
            std::fs::read(path).map_err(|error| ScrapeError::Tls(format!("{path}: {error}")))
        };
        let identity = tls.identity.as_ref().map(|identity| {
            let certificate = read(&identity.certificate)?;
            let key = read(&identity.key)?;
            Ok::<_, ScrapeError>([certificate, key].join(&b'\n'))
        });
        Ok(Self {
            ca: tls.ca.as_ref().map(read).transpose()?,
            identity: identity.transpose()?,
        })
    }

    fn client(&self) -> Result<Client, ScrapeError> {
        // The cause is left out: it could contain a part of the key.
        let wrong = |what: &str| ScrapeError::Tls(format!("{what} cannot be used"));
        let mut builder = builder();
        if let Some(ca) = &self.ca {
            let authorities = Certificate::from_pem_bundle(ca).map_err(|_| wrong("`tls.ca`"))?;
            if authorities.is_empty() {
                return Err(wrong("`tls.ca`"));
            }
            builder = builder.tls_certs_only(authorities);
        }
        if let Some(identity) = &self.identity {
            let identity = Identity::from_pem(identity);
            builder =
                builder.identity(identity.map_err(|_| wrong("`tls.certificate` or `tls.key`"))?);
        }
        builder.build().map_err(|_| wrong("`tls`"))
    }
}
