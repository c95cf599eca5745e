//! Who runs Claude, and how each is told which model answers.

use super::version::VERSION;
use meridian_policy::egress_policy::{Claude, ClaudeHost};
use serde_json::{Map, Value, json};

/// Anthropic's path.
pub const MESSAGES: &str = "/v1/messages";
/// The one that counts tokens.
pub const COUNT_TOKENS: &str = "/v1/messages/count_tokens";

/// A request as it goes to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRequest {
    /// Its path, below the `/v1/` that stands for the host's base URL.
    pub path: String,
    /// The version of the API, where a header tells it.
    pub version: Option<String>,
    /// The body.
    pub body: String,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Tokens of its prompt, about, and those that its answer may have. None where nothing is to be made.
    pub tokens: Tokens,
}

/// Tokens of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of its prompt, about.
    pub prompt: u64,
    /// Of its answer, at most.
    pub answer: u64,
}

/// Fields that would change what a request costs or who can be told by it, and are ours to say: betas, other prices for more
/// speed, capacity that was reserved, names of our account's.
const OPERATOR_FIELDS: [&str; 6] = [
    "anthropic_beta",
    "inference_geo",
    "service_tier",
    "speed",
    "user_profile_id",
    "workspace_id",
];

/// Bytes of a request that are a token, about.
const TOKEN_BYTES: usize = 4;
/// Tokens of an image, at most, however many bytes it has.
const IMAGE_TOKENS: usize = 5000;

impl Tokens {
    /// Of a body of the Messages API.
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

/// The images of a body, which are no text.
#[derive(Default)]
struct Images {
    count: usize,
    bytes: usize,
}

impl Images {
    /// Looks through turns and the blocks in them. JSON is not read deeper than its reader allows.
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

/// The version before ours, which callers may still speak.
const PREVIOUS_VERSION: &str = "2023-06-01";

/// How a host calls the version of the API that a caller speaks.
fn host_version(host: ClaudeHost, spoken: Option<&str>) -> &str {
    match (host, spoken) {
        (ClaudeHost::Anthropic, spoken) => spoken.unwrap_or(VERSION.1),
        (ClaudeHost::Vertex, Some(PREVIOUS_VERSION)) => "vertex-2023-10-16",
        (ClaudeHost::Bedrock, Some(PREVIOUS_VERSION)) => "bedrock-2023-05-31",
        (ClaudeHost::Vertex | ClaudeHost::Bedrock, _) => VERSION.1,
    }
}

/// Addresses a request of the Messages API, by its path without query. `version`: that of the API which the caller speaks, if
/// it says so.
pub fn host_request(
    claude: &Claude,
    mut body: Map<String, Value>,
    path: &str,
    version: Option<&str>,
) -> HostRequest {
    let version = host_version(claude.host, version);
    let stream = body.get("stream") == Some(&json!(true));
    for field in OPERATOR_FIELDS {
        body.remove(field);
    }
    let version_in_body = claude.host != ClaudeHost::Anthropic;
    let counts = path == COUNT_TOKENS;
    let path = host_path(claude, path, stream);
    match claude.host {
        ClaudeHost::Anthropic => {
            if let Some(geo) = &claude.inference_geo {
                body.insert("inference_geo".into(), json!(geo));
            }
        }
        ClaudeHost::Bedrock => {
            body.remove("stream");
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
    let text = serde_json::to_string(&body).unwrap_or_default();
    let tokens = if counts {
        Tokens::default()
    } else {
        Tokens::of(&body, text.len())
    };
    HostRequest {
        path,
        version: (!version_in_body).then(|| version.into()),
        body: text,
        stream,
        tokens,
    }
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
