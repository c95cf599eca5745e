use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use serde_json::{Map, Value};

use super::behaviour::Kind;
use super::problem::Problem;
use super::route::Api;

/// The parts of an inference request that change what is answered.
pub(super) struct InferenceRequest {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    pub(super) max_tokens: Option<usize>,
    pub(super) prompt_tokens: usize,
    /// The whole body.
    pub(super) fields: Map<String, Value>,
}

impl InferenceRequest {
    /// Checks a request as far as vLLM does before it looks at the model.
    pub(super) fn parse(
        api: Api,
        kind: &Kind,
        parts: &Parts,
        body: &[u8],
    ) -> Result<Self, Problem> {
        let media = parts
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim();
        if matches!(kind, Kind::Pool { .. }) && !media.eq_ignore_ascii_case("application/json") {
            return Err(Problem::wrong_content_type());
        }
        if body.is_empty() {
            return Err(Problem::missing(None, 0));
        }
        let fields: Map<String, Value> =
            serde_json::from_slice(body).map_err(|error| Problem::bad_json(&error))?;
        let prompt = fields.get(api.prompt_field());
        let prompt =
            prompt.ok_or_else(|| Problem::missing(Some(api.prompt_field()), fields.len()))?;
        let model = fields.get("model").and_then(Value::as_str);
        let model = model.ok_or_else(|| Problem::missing(Some("model"), fields.len()))?;
        let max_tokens = ["max_completion_tokens", "max_output_tokens", "max_tokens"];
        let max_tokens = max_tokens
            .iter()
            .find_map(|name| fields.get(*name)?.as_u64());
        let include_usage = fields
            .get("stream_options")
            .and_then(|options| options.get("include_usage"));
        Ok(Self {
            model: model.to_owned(),
            stream: fields
                .get("stream")
                .and_then(Value::as_bool)
                .unwrap_or(false),
            include_usage: include_usage.and_then(Value::as_bool).unwrap_or(false),
            max_tokens: max_tokens.and_then(|tokens| usize::try_from(tokens).ok()),
            prompt_tokens: tokens(prompt),
            fields,
        })
    }
}

/// One token per word of text, and one per token id.
fn tokens(prompt: &Value) -> usize {
    match prompt {
        Value::String(text) => text.split_whitespace().count(),
        Value::Number(_) => 1,
        Value::Array(list) => list.iter().map(tokens).sum(),
        Value::Object(message) => ["content", "text"]
            .iter()
            .filter_map(|name| message.get(*name))
            .map(tokens)
            .sum(),
        Value::Null | Value::Bool(_) => 0,
    }
}
