//! Who runs Claude, and how each is told which model answers.

use super::{Claude, VERSION};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Host {
    /// Anthropic: the model stands in the body, the version of the API in a header.
    Anthropic,
    /// Google's Vertex AI: the model stands in the path, the version in the body.
    Vertex,
    /// Amazon Bedrock: as with Vertex; answers that are streamed, and errors, are AWS's ([`super::bedrock`]).
    Bedrock,
}

/// Anthropic's path.
pub const MESSAGES: &str = "/v1/messages";
/// The one that counts tokens.
pub const COUNT_TOKENS: &str = "/v1/messages/count_tokens";

/// A request as it goes to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressed {
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
const OURS: [&str; 6] = [
    "anthropic_beta",
    "inference_geo",
    "service_tier",
    "speed",
    "user_profile_id",
    "workspace_id",
];

/// Bytes of a request that are a token, about.
const TOKEN: usize = 4;
/// Tokens of an image, at most, however many bytes it has.
const IMAGE: usize = 5000;

impl Tokens {
    /// Of a body of the Messages API.
    fn of(body: &Map<String, Value>, bytes: usize) -> Self {
        let mut images = Images::default();
        images.count(body.get("messages").unwrap_or(&Value::Null));
        let text = bytes.saturating_sub(images.bytes) / TOKEN;
        let prompt = text.saturating_add(images.count.saturating_mul(IMAGE));
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
const BEFORE: &str = "2023-06-01";

impl Host {
    /// How it calls the version of the API that a caller speaks.
    fn version(self, spoken: Option<&str>) -> &str {
        match (self, spoken) {
            (Self::Anthropic, spoken) => spoken.unwrap_or(VERSION.1),
            (Self::Vertex, Some(BEFORE)) => "vertex-2023-10-16",
            (Self::Bedrock, Some(BEFORE)) => "bedrock-2023-05-31",
            (Self::Vertex | Self::Bedrock, _) => VERSION.1,
        }
    }
}

impl Claude {
    /// Addresses a request of the Messages API, by its path without query. `version`: that of the API which the caller speaks, if
    /// it says so.
    pub fn address(
        &self,
        mut body: Map<String, Value>,
        path: &str,
        version: Option<&str>,
    ) -> Addressed {
        let version = self.host.version(version);
        let stream = body.get("stream") == Some(&json!(true));
        for field in OURS {
            body.remove(field);
        }
        let in_body = self.host != Host::Anthropic;
        let counts = path == COUNT_TOKENS;
        let path = match self.host {
            Host::Anthropic => {
                if let Some(geo) = &self.inference_geo {
                    body.insert("inference_geo".into(), json!(geo));
                }
                path.into()
            }
            Host::Vertex if counts => "/v1/models/count-tokens:rawPredict".into(),
            Host::Vertex => {
                let method = if stream {
                    "streamRawPredict"
                } else {
                    "rawPredict"
                };
                format!("/v1/models/{}:{method}", self.model)
            }
            Host::Bedrock => {
                body.remove("stream");
                let method = if stream {
                    "invoke-with-response-stream"
                } else {
                    "invoke"
                };
                format!("/v1/model/{}/{method}", self.model)
            }
        };
        if in_body {
            body.insert("anthropic_version".into(), json!(version));
        }
        if self.host == Host::Anthropic || counts {
            body.insert("model".into(), json!(self.model));
        } else {
            body.remove("model");
        }
        let text = serde_json::to_string(&body).unwrap_or_default();
        let tokens = if counts {
            Tokens::default()
        } else {
            Tokens::of(&body, text.len())
        };
        Addressed {
            path,
            version: (!in_body).then(|| version.into()),
            body: text,
            stream,
            tokens,
        }
    }
}
