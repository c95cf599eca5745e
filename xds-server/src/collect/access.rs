//! The client that a source is asked with: by its own authority and certificate where the fleet file names them.

use super::outcome::ScrapeError;
use meridian_policy::source::SourceTls;
use reqwest::{Certificate, Client, ClientBuilder, Identity};

/// Of one source.
#[derive(Debug)]
pub(super) struct Access {
    shared: Client,
    /// Its own client, and what it was made of.
    own: Option<(Files, Client)>,
}

/// What stands in the files of a source, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Files {
    ca: Option<Vec<u8>>,
    /// Certificate and key.
    identity: Option<Vec<u8>>,
}

/// What all clients have in common.
pub(super) fn builder() -> ClientBuilder {
    // The second time it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent("meridian")
        // Queries of one source are asked at once.
        .pool_max_idle_per_host(16)
}

impl Access {
    /// `shared` is the client of those without files of their own.
    pub(super) fn new(shared: Client) -> Self {
        Self { shared, own: None }
    }

    /// The client. Files are read again at every look: they may be others than at the last.
    pub(super) async fn client(&mut self, tls: Option<&SourceTls>) -> Result<Client, ScrapeError> {
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
        // What went wrong with a key is not repeated: it could show a part of it.
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
