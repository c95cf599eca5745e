//! A request that is explained, before anybody sends it.

use ipnet::IpNet;
use meridian_filter_core::header_map::HeaderMap;
use meridian_policy::filter_policy::FilterPolicy;
use meridian_policy::zone::ZoneSourceKind;
use meridian_policy::{RegionName, headers};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr};

/// Most bytes of a body that is given as it is. A longer one is described by its size.
pub const LONGEST_BODY: usize = 1 << 20;

/// A request, as far as it is known. What is not said is that of a plain request of a trusted edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// The region whose gateway gets the request.
    pub gateway: RegionName,
    /// The model, in the body that is made. Needed unless `body` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The caller's country, in the header of the fleet's first source that gives countries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Further headers, names and values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// The address of the connection's other end. Without it one that the fleet trusts with its first source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// The HTTP method.
    #[serde(default = "post")]
    pub method: String,
    /// The path.
    #[serde(default = "chat")]
    pub path: String,
    /// The tier, in its header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The session, in its header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What it needs besides an answer, in its header: `fresh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<String>,
    /// Whether the answer is streamed, in the body that is made.
    #[serde(default)]
    pub stream: bool,
    /// Bytes of the body that is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_size: Option<u64>,
    /// The body as it is, in the place of one that is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Its `x-request-id`. Without it the explanation is of many requests that differ in nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

fn post() -> String {
    "POST".to_owned()
}

fn chat() -> String {
    "/v1/chat/completions".to_owned()
}

/// Why a request cannot be explained, by the field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// There is neither a model nor a body.
    #[error("model: name the model, or give the body")]
    NoModel,
    /// There is a body, and something that describes one.
    #[error("{0}: the body that is given says it")]
    TwoBodies(&'static str),
    /// The body is too long to be given.
    #[error(
        "body: it has more than {LONGEST_BODY} bytes; give `body_size` and `model` in its place"
    )]
    LongBody,
    /// The fleet has no source that gives countries.
    #[error(
        "country: no source of this fleet gives countries; give the header of one of its sources"
    )]
    NoCountries,
    /// A header that cannot be sent.
    #[error("headers: `{0}` is no name or value of a header")]
    Header(String),
}

/// A request as a gateway gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The address of the connection's other end.
    pub from: IpAddr,
    /// The headers, as text.
    pub headers: Vec<(String, String)>,
}

impl ExplainRequest {
    /// The address and the headers, as a gateway with this policy gets them.
    ///
    /// # Errors
    /// A field contradicts another one or the fleet.
    pub fn sent(&self, policy: &FilterPolicy) -> Result<Sent, BadRequest> {
        let mut headers = Vec::new();
        if let Some(country) = &self.country {
            let mut sources = policy.sources.iter();
            let source = sources.find(|source| source.gives == ZoneSourceKind::Country);
            let source = source.ok_or(BadRequest::NoCountries)?;
            headers.push((source.header.clone(), country.clone()));
        }
        for (name, value) in [
            (headers::TIER, &self.tier),
            (headers::SESSION, &self.session),
            (headers::NEEDS, &self.needs),
        ] {
            headers.extend(value.iter().map(|value| (name.to_owned(), value.clone())));
        }
        headers.extend_from_slice(&self.headers);
        for (name, value) in &headers {
            let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            let is_name = !name.is_empty() && name.chars().all(is_token);
            if !is_name || value.chars().any(|c| c.is_control() && c != '\t') {
                return Err(BadRequest::Header(format!("{name}: {value}")));
            }
        }
        Ok(Sent {
            from: self.from.unwrap_or_else(|| trusted(policy)),
            headers,
        })
    }

    /// The body that is given, or a short one that says the same.
    ///
    /// # Errors
    /// It is given twice, or not at all.
    pub fn body(&self) -> Result<String, BadRequest> {
        match (&self.body, &self.model) {
            (Some(_), Some(_)) => Err(BadRequest::TwoBodies("model")),
            (Some(_), None) if self.stream => Err(BadRequest::TwoBodies("stream")),
            (Some(_), None) if self.body_size.is_some() => Err(BadRequest::TwoBodies("body_size")),
            (Some(body), None) if body.len() > LONGEST_BODY => Err(BadRequest::LongBody),
            (Some(body), None) => Ok(body.clone()),
            (None, Some(model)) => {
                Ok(serde_json::json!({ "model": model, "stream": self.stream }).to_string())
            }
            (None, None) if self.method == "GET" => Ok(String::new()),
            (None, None) => Err(BadRequest::NoModel),
        }
    }
}

impl Sent {
    /// The headers for the decision.
    pub fn header_map(&self) -> HeaderMap {
        let headers = self.headers.iter();
        headers
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    /// The values of a header, in one text as Envoy logs them.
    pub fn value(&self, header: &str) -> Option<String> {
        let values = self.headers.iter();
        let values = values.filter(|(name, _)| name.eq_ignore_ascii_case(header));
        let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// An address that is trusted with the first source.
fn trusted(policy: &FilterPolicy) -> IpAddr {
    let mut networks = policy.sources.iter().flat_map(|source| &source.trust.cidr);
    networks
        .next()
        .map_or(Ipv4Addr::LOCALHOST.into(), IpNet::addr)
}
