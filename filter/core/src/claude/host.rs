//! The hosts of Claude, and how each of them names the model in a request.

use super::version::VERSION;
use meridian_policy::egress_policy::{Claude, ClaudeHost};
use serde_json::{Map, Value, json};

/// Path of the Messages API.
pub const MESSAGES: &str = "/v1/messages";
/// Path of the API that counts tokens.
pub const COUNT_TOKENS: &str = "/v1/messages/count_tokens";

/// The header that names the betas of a request.
pub const BETA: &str = "anthropic-beta";

/// A request for a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRequest {
    /// The path below `/v1/`, which stands for the host's base URL.
    pub path: String,
    /// The API version, for hosts that read it from a header.
    pub version: Option<String>,
    /// The betas, for hosts that read them from a header.
    pub betas: Option<String>,
    /// The body.
    pub body: String,
    /// Whether the response is streamed.
    pub stream: bool,
    /// The tokens of the request. Zero for a request that only counts tokens.
    pub tokens: Tokens,
}

/// Tokens of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Approximate tokens of the prompt.
    pub prompt: u64,
    /// Maximum tokens of the completion.
    pub answer: u64,
}

/// Fields that only the operator may set. They change the price of a request, or identify users to the operator's account:
/// betas, faster processing, reserved capacity, names in the account.
const OPERATOR_FIELDS: [&str; 8] = [
    "anthropic_beta",
    "billing_policy",
    "fallback_credit_token",
    "inference_geo",
    "service_tier",
    "speed",
    "user_profile_id",
    "workspace_id",
];

/// Approximate bytes of a request per token.
const TOKEN_BYTES: usize = 4;
/// Maximum tokens of an image of any size.
const IMAGE_TOKENS: usize = 5000;

impl Tokens {
    /// The tokens of a body of the Messages API, which has this many bytes.
    fn of(body: &Map<String, Value>, bytes: usize) -> Self {
        let mut images = Images::default();
        images.count(body.get("messages").unwrap_or(&Value::Null));
        let text = bytes.saturating_sub(images.bytes) / TOKEN_BYTES;
        let prompt = text.saturating_add(images.count.saturating_mul(IMAGE_TOKENS));
        let answer = body.get("max_tokens").and_then(Value::as_u64);
        Self {
            prompt: u64::try_from(prompt).unwrap_or(u64::MAX),
            answer: answer.unwrap_or(0),
        }
    }
}

/// The images of a body. Their bytes are not text.
#[derive(Default)]
struct Images {
    count: usize,
    bytes: usize,
}

impl Images {
    /// Counts the images in messages and their content blocks. The JSON reader limits the depth.
    fn count(&mut self, value: &Value) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.count(value)),
            Value::Object(fields) if fields.get("type").is_some_and(|kind| kind == "image") => {
                self.count += 1;
                let data = value["source"]["data"].as_str();
                self.bytes += data.map_or(0, str::len);
            }
            Value::Object(fields) => {
                if let Some(content) = fields.get("content") {
                    self.count(content);
                }
            }
            _ => {}
        }
    }
}

/// The previous API version, which callers may still use.
const PREVIOUS_VERSION: &str = "2023-06-01";

/// A host's name for the API version of a caller.
fn host_version(host: ClaudeHost, spoken: Option<&str>) -> &str {
    match (host, spoken) {
        (ClaudeHost::Anthropic, spoken) => spoken.unwrap_or(VERSION.1),
        (ClaudeHost::Vertex, Some(PREVIOUS_VERSION)) => "vertex-2023-10-16",
        (ClaudeHost::Bedrock, Some(PREVIOUS_VERSION)) => "bedrock-2023-05-31",
        (ClaudeHost::Vertex | ClaudeHost::Bedrock, _) => VERSION.1,
    }
}

/// A request of the Messages API, except its body.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The path, without query.
    pub path: &'a str,
    /// The API version that the caller names.
    pub version: Option<&'a str>,
    /// The betas, by the host's names.
    pub betas: &'a [&'a str],
    /// The size of the caller's body, in bytes.
    pub size: usize,
}

/// Translates a request of the Messages API for a host.
pub fn host_request(claude: &Claude, mut body: Map<String, Value>, call: Call<'_>) -> HostRequest {
    let version = host_version(claude.host, call.version);
    let stream = body.get("stream") == Some(&json!(true));
    for field in OPERATOR_FIELDS {
        body.remove(field);
    }
    let version_in_body = claude.host != ClaudeHost::Anthropic;
    let counts = call.path == COUNT_TOKENS;
    let path = host_path(claude, call.path, stream);
    let mut betas = (!call.betas.is_empty()).then(|| call.betas.join(","));
    match claude.host {
        ClaudeHost::Anthropic => {
            if let Some(geo) = &claude.inference_geo {
                body.insert("inference_geo".into(), json!(geo));
            }
        }
        ClaudeHost::Bedrock => {
            body.remove("stream");
            if betas.take().is_some() {
                body.insert("anthropic_beta".into(), json!(call.betas));
            }
        }
        ClaudeHost::Vertex => {}
    }
    if version_in_body {
        body.insert("anthropic_version".into(), json!(version));
    }
    if claude.host == ClaudeHost::Anthropic || counts {
        body.insert("model".into(), json!(claude.model));
    } else {
        body.remove("model");
    }
    let text = text(&body, call.size);
    let tokens = if counts {
        Tokens::default()
    } else {
        Tokens::of(&body, text.len())
    };
    HostRequest {
        path,
        version: (!version_in_body).then(|| version.into()),
        betas,
        body: text,
        stream,
        tokens,
    }
}

/// The text of a body. It is about as long as the caller's, whose size saves copies while it grows.
fn text(body: &Map<String, Value>, size: usize) -> String {
    let mut text = Vec::with_capacity(size + size / 8);
    // Neither maps of strings nor writing to memory can fail.
    let _ = serde_json::to_writer(&mut text, body);
    String::from_utf8(text).unwrap_or_default()
}

/// The path at a host, below the `/v1/` that stands for its base URL.
fn host_path(claude: &Claude, path: &str, stream: bool) -> String {
    let model = &claude.model;
    match (claude.host, stream) {
        (ClaudeHost::Anthropic, _) => path.into(),
        (ClaudeHost::Vertex, _) if path == COUNT_TOKENS => {
            "/v1/models/count-tokens:rawPredict".into()
        }
        (ClaudeHost::Vertex, true) => format!("/v1/models/{model}:streamRawPredict"),
        (ClaudeHost::Vertex, false) => format!("/v1/models/{model}:rawPredict"),
        (ClaudeHost::Bedrock, true) => format!("/v1/model/{model}/invoke-with-response-stream"),
        (ClaudeHost::Bedrock, false) => format!("/v1/model/{model}/invoke"),
    }
}
