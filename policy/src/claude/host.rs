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
        body.insert("model".into(), json!(self.model));
        body.remove("inference_geo");
        match self.host {
            Host::Anthropic => {
                if let Some(geo) = &self.inference_geo {
                    body.insert("inference_geo".into(), json!(geo));
                }
                Addressed {
                    path: path.into(),
                    version: Some(version.into()),
                    body: Value::Object(body).to_string(),
                }
            }
            Host::Vertex => {
                body.insert("anthropic_version".into(), json!(version));
                let model = if path == COUNT_TOKENS {
                    "count-tokens"
                } else {
                    body.remove("model");
                    self.model.as_str()
                };
                let streamed = body.get("stream") == Some(&json!(true));
                let method = if streamed {
                    "streamRawPredict"
                } else {
                    "rawPredict"
                };
                Addressed {
                    path: format!("/v1/models/{model}:{method}"),
                    version: None,
                    body: Value::Object(body).to_string(),
                }
            }
        }
    }
}
