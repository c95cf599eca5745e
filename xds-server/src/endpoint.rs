//! How commands reach a control plane: without TLS on its own machine, or over TLS with a token or a certificate.

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use meridian_xds_server::serve::operator::Refused;
use meridian_xds_server::serve::report::Report;
use reqwest::{Certificate, Client, ClientBuilder, Identity, Method, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Time limit of a request. With replicas, longer than it takes until another one leads.
const LIMIT: Duration = Duration::from_secs(25);

/// The environment variable with a token.
const TOKEN: &str = "MERIDIAN_TOKEN";

/// Something that the control plane refuses: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotDone(pub String);

/// Where the control plane is, and who asks.
#[derive(Args)]
pub struct Endpoint {
    /// The control plane: `host:port` of its `control_plane.status`, or `https://host:port` of its `control_plane.api`.
    #[arg(long, default_value = "127.0.0.1:18001")]
    address: Address,
    /// The authorities of the control plane's certificate, PEM. Default: those of this machine.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A file with a token. Default: the token in the environment variable `MERIDIAN_TOKEN`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A client certificate, PEM, in place of a token.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The private key of `--cert`.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// The address of a control plane.
#[derive(Clone, Debug)]
pub struct Address {
    url: Url,
    is_secure: bool,
    shown: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_secure = text.starts_with("https://");
        let wrong = || anyhow!("write `host:port`, or `https://host:port`");
        if !is_secure && text.contains('/') {
            return Err(wrong());
        }
        let url = if is_secure {
            Url::parse(text)
        } else {
            Url::parse(&format!("http://{text}"))
        };
        let url = url.map_err(|_| wrong())?;
        // The port 80 is left out of a URL even if it is written.
        let has_port = is_secure || url.port().is_some() || text.ends_with(":80");
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !has_port || !is_bare || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong());
        }
        Ok(Self {
            url,
            is_secure,
            shown: text.to_owned(),
        })
    }
}

impl Endpoint {
    /// The address, for people.
    pub fn shown(&self) -> &str {
        &self.address.shown
    }

    /// What `meridian status` shows.
    ///
    /// # Errors
    /// No control plane answers, or it refuses ([`NotDone`]).
    pub async fn report(&self) -> Result<Report> {
        // The status port gives it to all who reach it, and `/v1` to its own machine.
        let path = if self.address.is_secure {
            "v1/status"
        } else {
            "status"
        };
        self.ask(Method::GET, path, None::<&()>).await
    }

    /// The answer to a request.
    ///
    /// # Errors
    /// No control plane answers, or it refuses ([`NotDone`]).
    pub async fn ask<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<A> {
        let address = &self.address;
        let mut request = self.client()?.request(method, address.url.join(path)?);
        if let Some(token) = self.token()? {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| {
            format!(
                "no control plane answers at {address}; --address is its `control_plane.status`, or `https://` and its `control_plane.api`"
            )
        })?;
        let answer = self.accepted(answer).await?;
        let error = || format!("{address} does not answer as a control plane of this version");
        answer.json().await.with_context(error)
    }

    /// The answer, if it is what was wanted.
    async fn accepted(&self, answer: Response) -> Result<Response> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let refused: Option<Refused> = answer.json().await.ok();
        let address = &self.address;
        let refused = refused.with_context(|| format!("{address} answers {status}"))?;
        let mut text = refused.errors.join("\n");
        if refused.may_be_forced {
            text += "\n--force does it all the same, and the record says so";
        }
        if status.is_server_error() {
            bail!(text);
        }
        bail!(NotDone(text))
    }

    fn client(&self) -> Result<Client> {
        // An error means that it is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(LIMIT);
        let files = [
            ("--ca", &self.ca),
            ("--token-file", &self.token_file),
            ("--cert", &self.cert),
        ];
        let given = files.iter().find(|(_, file)| file.is_some());
        if let (Some((option, _)), false) = (given, self.address.is_secure) {
            let address = &self.address;
            bail!("{option} goes with `--address https://host:port`, and {address} is without TLS");
        }
        Ok(self.certificates(client)?.build()?)
    }

    fn certificates(&self, mut client: ClientBuilder) -> Result<ClientBuilder> {
        if let Some(file) = &self.ca {
            let authorities = Certificate::from_pem_bundle(&read("--ca", file)?);
            let authorities = authorities
                .ok()
                .filter(|authorities| !authorities.is_empty());
            let authorities = authorities
                .with_context(|| format!("--ca: {} has no certificate", file.display()))?;
            client = client.tls_certs_only(authorities);
        }
        if let (Some(certificate), Some(key)) = (&self.cert, &self.key) {
            let pair = [read("--cert", certificate)?, read("--key", key)?].concat();
            let identity = Identity::from_pem(&pair).with_context(|| {
                let (certificate, key) = (certificate.display(), key.display());
                format!("--cert, --key: {certificate} and {key} are not a certificate and its key")
            })?;
            client = client.identity(identity);
        }
        Ok(client)
    }

    /// The token. It is never sent without TLS.
    fn token(&self) -> Result<Option<String>> {
        if !self.address.is_secure {
            return Ok(None);
        }
        let Some(file) = &self.token_file else {
            return Ok(std::env::var(TOKEN).ok().filter(|_| self.cert.is_none()));
        };
        let text = String::from_utf8(read("--token-file", file)?).ok();
        let token = text.as_deref().map(str::trim);
        let is_token =
            |token: &&str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        let token = token.filter(is_token).map(str::to_owned);
        let error = || {
            format!(
                "--token-file: {} is not a token on one line",
                file.display()
            )
        };
        token.with_context(error).map(Some)
    }
}

fn read(option: &str, file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("{option}: {}", file.display()))
}
