//! Requests as callers send them.

use super::MODEL;
use anyhow::{Context, Result};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::OnceLock;

/// A request to a gateway, a chat unless told otherwise.
#[derive(Clone)]
pub struct Ask {
    gateway: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    marker: String,
    from: Option<IpAddr>,
    get: bool,
}

/// What came back, whole.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

impl Ask {
    pub(super) fn new(gateway: String, marker: String) -> Self {
        let ask = Self {
            gateway,
            path: "/v1/chat/completions".into(),
            headers: Vec::new(),
            body: Vec::new(),
            marker,
            from: None,
            get: false,
        };
        ask.model(MODEL)
    }

    /// What stands in the prompt of this request only.
    pub fn marker(&self) -> &str {
        &self.marker
    }

    /// A chat with this model.
    pub fn model(self, model: &str) -> Self {
        let content = format!("tell me about {}", self.marker);
        self.json(&json!({ "model": model, "messages": [{ "role": "user", "content": content }] }))
    }

    /// The same chat, streamed.
    pub fn streamed(self) -> Self {
        let content = format!("tell me about {}", self.marker);
        self.json(&json!({ "model": MODEL, "stream": true, "messages": [{ "role": "user", "content": content }] }))
    }

    /// The same in Anthropic's API.
    pub fn messages(self, stream: bool) -> Self {
        let content = format!("tell me about {}", self.marker);
        let turns = json!([{ "role": "user", "content": content }]);
        self.path("/v1/messages").json(
            &json!({ "model": MODEL, "max_tokens": 4096, "stream": stream, "messages": turns }),
        )
    }

    /// Whether it is in Anthropic's API.
    pub fn is_messages(&self) -> bool {
        self.path == "/v1/messages"
    }

    /// The same request to another gateway, by its URL.
    pub fn gateway_at(mut self, url: &str) -> Self {
        self.gateway = url.into();
        self
    }

    /// Another path.
    pub fn path(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }

    /// A `GET`.
    pub fn get(mut self, path: &str) -> Self {
        self.get = true;
        self.body = Vec::new();
        self.path(path)
    }

    /// Another body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Another body, JSON.
    pub fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    /// One more header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// From a country, as the edge says.
    pub fn country(self, country: &str) -> Self {
        self.header("cf-ipcountry", country)
    }

    /// From another address than the edge's.
    pub fn from(mut self, address: IpAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// As text of HTTP/1.1, for a caller who reads in a way of its own.
    pub fn as_http(&self) -> String {
        let mut text = format!("POST {} HTTP/1.1\r\nhost: gateway\r\n", self.path);
        let length = self.body.len().to_string();
        let own = [
            ("content-type", "application/json"),
            ("content-length", &length),
        ];
        let own = own.map(|(name, value)| (name, value.as_bytes()));
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_slice()));
        for (name, value) in own.into_iter().chain(headers) {
            text += &format!("{name}: {}\r\n", String::from_utf8_lossy(value));
        }
        format!("{text}\r\n{}", String::from_utf8_lossy(&self.body))
    }

    /// Sends it and waits for the head of the answer.
    pub async fn open(&self) -> Result<reqwest::Response> {
        if self.from.is_some() {
            let client = client().local_address(self.from).build()?;
            return self.open_with(&client).await;
        }
        self.open_with(anew()?).await
    }

    /// The same over a client with open connections.
    pub async fn open_with(&self, client: &reqwest::Client) -> Result<reqwest::Response> {
        let url = format!("{}{}", self.gateway, self.path);
        let mut request = if self.get {
            client.get(url)
        } else {
            client.post(url)
        };
        request = request.header("content-type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value.as_slice());
        }
        request
            .body(self.body.clone())
            .send()
            .await
            .context("the gateway gave no answer")
    }

    /// Sends it and reads the whole answer.
    pub async fn send(&self) -> Result<Answer> {
        Answer::read(self.open().await?).await
    }

    /// The same over a client with open connections.
    pub async fn send_with(&self, client: &reqwest::Client) -> Result<Answer> {
        Answer::read(self.open_with(client).await?).await
    }
}

impl Answer {
    async fn read(response: reqwest::Response) -> Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response
            .bytes()
            .await
            .context("the answer was cut short")?
            .to_vec();
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    /// A header as text, empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The region that answered, by Meridian's header.
    pub fn region(&self) -> &str {
        self.header("x-meridian-region")
    }
}

/// A client that opens a connection for every request.
fn anew() -> Result<&'static reqwest::Client> {
    static ANEW: OnceLock<reqwest::Client> = OnceLock::new();
    if let Some(client) = ANEW.get() {
        return Ok(client);
    }
    let client = client().pool_max_idle_per_host(0).build()?;
    Ok(ANEW.get_or_init(|| client))
}

/// A client without proxies, redirects and authorities; a test adds the authority that it needs.
pub fn client() -> reqwest::ClientBuilder {
    // The second time it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        // Reading the system's authorities takes longer than a request.
        .tls_certs_only([])
        .redirect(reqwest::redirect::Policy::none())
}
