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
    /// Tokens that the answer may have; 0 where nothing is to be made.
    pub max_tokens: u64,
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
        let version = version.unwrap_or(VERSION.1);
        let stream = body.get("stream") == Some(&json!(true));
        let max_tokens = body.get("max_tokens").and_then(Value::as_u64);
        body.remove("inference_geo");
        let in_body = self.host != Host::Anthropic;
        let path = match self.host {
            Host::Anthropic => {
                if let Some(geo) = &self.inference_geo {
                    body.insert("inference_geo".into(), json!(geo));
                }
                path.into()
            }
            Host::Vertex if path == COUNT_TOKENS => "/v1/models/count-tokens:rawPredict".into(),
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
        if self.host == Host::Anthropic || path.contains("count-tokens") {
            body.insert("model".into(), json!(self.model));
        } else {
            body.remove("model");
        }
        Addressed {
            path,
            version: (!in_body).then(|| version.into()),
            body: Value::Object(body).to_string(),
            stream,
            max_tokens: max_tokens.unwrap_or(0),
        }
    }
}
