//! The configuration of the plugin `egress`, as JSON in Envoy's configuration.

use crate::name::{FallbackName, ModelName, ZoneId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The configuration of the filter in front of one fallback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressPolicy {
    /// The fallback's name.
    pub fallback: FallbackName,
    /// The API of the provider.
    pub provider: Provider,
    /// The places where the provider may process a request. Empty if unknown.
    #[serde(default)]
    pub jurisdiction: BTreeSet<String>,
    /// This gateway's share of the fallback's budget.
    #[serde(default)]
    pub budget: Budget,
    /// The prices of the provider, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Maximum length of a prompt in tokens, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
    /// The names of the models at an OpenAI-compatible provider, where they differ from the callers'.
    #[serde(default, skip_serializing_if = "Renames::is_empty")]
    pub renames: Renames,
    /// Whether the provider keeps chats unless a request forbids it. Others refuse the field that forbids it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_chats: bool,
    /// The unpinned zones that use the fallback, and the types of tools that Claude may run for each. A request of a definition that is
    /// neither here nor in `pinned` is refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unpinned: BTreeMap<ZoneId, BTreeSet<String>>,
    /// The pinned zones that use the fallback, and the types of tools that it may run for each. A request of such a zone is held to
    /// an allow-list of fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pinned: BTreeMap<ZoneId, BTreeSet<String>>,
}

/// The names of models at a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renames {
    /// Names by the callers' names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<ModelName, ModelName>,
    /// The name of all other models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<ModelName>,
}

impl Renames {
    /// Whether all models have the callers' names.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty() && self.others.is_none()
    }

    /// The provider's name of a model. `None`: the caller's.
    pub fn of(&self, model: &str) -> Option<&ModelName> {
        self.models.get(model).or(self.others.as_ref())
    }
}

/// The API of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// OpenAI's API. The request keeps the model name of the caller, unless [`EgressPolicy::renames`] has another.
    OpenaiCompatible,
    /// Anthropic's Messages API.
    Claude(Claude),
}

/// A Claude model, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claude {
    /// The host that runs the model.
    pub host: ClaudeHost,
    /// The host's name of the model.
    pub model: String,
    /// Maximum tokens of a response if the request sets none. The Messages API requires a number.
    pub max_tokens: u32,
    /// The `inference_geo` of Anthropic's own API, for example `us`. `None`: anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_geo: Option<String>,
    /// Maximum size of a caller's request, in bytes, if it is smaller than the [host's](ClaudeHost::max_body).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body: Option<u32>,
}

impl Claude {
    /// Maximum size of a caller's request, in bytes.
    pub fn max_body(&self) -> u32 {
        let host = self.host.max_body();
        self.max_body.map_or(host, |own| own.min(host))
    }
}

/// A host that runs Claude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaudeHost {
    /// Anthropic. The model is in the body, the API version in a header.
    Anthropic,
    /// Google's Vertex AI. The model is in the path, the API version in the body.
    Vertex,
    /// Amazon Bedrock. Like Vertex, but streams and errors have AWS's formats.
    Bedrock,
}

impl ClaudeHost {
    /// Maximum size of a request that the host takes, in bytes, by its documentation.
    pub fn max_body(self) -> u32 {
        match self {
            Self::Anthropic => 32 << 20,
            Self::Vertex => 30 << 20,
            Self::Bedrock => 20 << 20,
        }
    }
}

/// The spending limits of one gateway with one fallback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Maximum requests in any minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Maximum cost in any hour, in billionths of a US dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nanousd: Option<u64>,
}

/// Prices per token, in billionths of a US dollar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Price of a prompt token that is neither read from a cache nor written to one.
    pub input: u64,
    /// Price of a prompt token that is read from a cache.
    pub cache_read: u64,
    /// Price of a prompt token that is written to a cache.
    pub cache_write: u64,
    /// Price of a completion token.
    pub output: u64,
}
