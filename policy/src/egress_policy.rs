//! The configuration of the plugin `egress`: what the filter on the way out to one fallback needs of the fleet, as the JSON that
//! travels in Envoy's configuration.

use crate::name::FallbackName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the filter on the way out to one fallback needs of the fleet, as the JSON that travels in Envoy's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressPolicy {
    /// The fallback's name.
    pub fallback: FallbackName,
    /// Which API it speaks.
    pub provider: Provider,
    /// Where it may process a request. Empty: nothing is known.
    #[serde(default)]
    pub jurisdiction: BTreeSet<String>,
    /// This gateway's part of what it may cost.
    #[serde(default)]
    pub budget: Budget,
    /// What it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// Tokens of the longest prompt, where that is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
}

/// Which API a provider speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// OpenAI's; it is asked for the model by the caller's name for it.
    OpenaiCompatible,
    /// Anthropic's Messages.
    Claude(Claude),
}

/// Which Claude answers, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claude {
    /// Who runs it.
    pub host: ClaudeHost,
    /// The provider's name of the model.
    pub model: String,
    /// Tokens of an answer to a request that does not say how many; the Messages API wants a number.
    pub max_tokens: u32,
    /// Where it has to run, as Anthropic's own API says it: `us`. Anywhere if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_geo: Option<String>,
}

/// Who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaudeHost {
    /// Anthropic: the model stands in the body, the version of the API in a header.
    Anthropic,
    /// Google's Vertex AI: the model stands in the path, the version in the body.
    Vertex,
    /// Amazon Bedrock: as with Vertex; answers that are streamed, and errors, are AWS's .
    Bedrock,
}

/// What one gateway may spend with one fallback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Requests in any minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Billionths of a dollar in any hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nanousd: Option<u64>,
}

/// Prices, in billionths of a dollar a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of the prompt.
    pub input: u64,
    /// Of the prompt, read from a cache.
    pub cache_read: u64,
    /// Of the prompt, written to a cache.
    pub cache_write: u64,
    /// Of the answer.
    pub output: u64,
}
