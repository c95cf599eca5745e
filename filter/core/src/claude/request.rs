//! Translates and checks requests.

use super::history::adopt;
use super::invalid_request::InvalidRequest;
use super::messages::{Turns, turns};
use super::output_format::OutputFormat;
use super::read::max_tree;
use super::tools::{add_tools, tool_choice, tools};
use meridian_policy::egress_policy::Claude;
use serde_json::{Map, Value, json};

/// A translated request.
#[derive(Clone, Debug, PartialEq)]
pub struct MessagesRequest {
    /// The body for the Messages API, without the model.
    pub body: Map<String, Value>,
    /// Whether the response is streamed.
    pub stream: bool,
    /// Whether the caller wants a usage chunk in the stream.
    pub include_usage: bool,
}

/// Fields that are dropped. No caller can rely on them: hints to a sampler or a scheduler, and fields for services of OpenAI or
/// vLLM.
pub(super) const HINTS: [&str; 40] = [
    "add_generation_prompt",
    "allowed_token_ids",
    "bad_words",
    "best_of",
    "cache_salt",
    "chat_template_kwargs",
    "frequency_penalty",
    "ignore_eos",
    "include_reasoning",
    "length_penalty",
    "metadata",
    "min_p",
    "min_tokens",
    "mm_processor_kwargs",
    "prediction",
    "presence_penalty",
    "priority",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "repetition_penalty",
    "request_id",
    "return_token_ids",
    "safety_identifier",
    "seed",
    "service_tier",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "store",
    "temperature",
    "thinking",
    "thinking_token_budget",
    "top_k",
    "top_p",
    "truncate_prompt_tokens",
    "use_beam_search",
    "user",
    "verbosity",
    "vllm_xargs",
];

/// Translates a body of `/v1/chat/completions`.
///
/// # Errors
/// The body is invalid, or has a field that Claude does not support.
pub fn request(
    mut fields: Map<String, Value>,
    claude: &Claude,
) -> Result<MessagesRequest, InvalidRequest> {
    fields.retain(|_, value| !value.is_null());
    fields.remove("model");
    let mut translated = Map::new();
    translated.insert(
        "max_tokens".into(),
        json!(max_tokens(&mut fields, MAX_TOKENS)?.unwrap_or(claude.max_tokens.into())),
    );
    let Turns {
        mut system,
        messages,
        ..
    } = turns(fields.remove("messages"), max_tree(claude))?;
    let format = fields.remove("response_format");
    OutputFormat::read("response_format", format, "/json_schema/schema")?
        .add(&mut system, &mut translated);
    if !system.is_empty() {
        translated.insert("system".into(), json!(system));
    }
    translated.insert("messages".into(), json!(messages));
    let stream = flag(&mut fields, "stream")?;
    if stream {
        translated.insert("stream".into(), json!(true));
    }
    let include_usage = stream_options(fields.remove("stream_options"))?;
    if let Some(stop) = fields.remove("stop") {
        translated.insert("stop_sequences".into(), stop_sequences(stop)?);
    }
    let tools = tools(fields.remove("tools"))?;
    let choice = tool_choice(
        fields.remove("tool_choice"),
        "/function/name",
        flag_or(&mut fields, "parallel_tool_calls", true)?,
    )?;
    add_tools(tools, choice, &mut translated);
    check_remaining(fields)?;
    Ok(MessagesRequest {
        body: translated,
        stream,
        include_usage,
    })
}

/// Checks a body of the Messages API, and removes what other models left in it. Its fields are checked against the allow-list before.
///
/// # Errors
/// The body is invalid.
pub fn native(mut fields: Map<String, Value>) -> Result<Map<String, Value>, InvalidRequest> {
    if fields
        .get("max_tokens")
        .is_some_and(|tokens| tokens.as_u64().is_none())
    {
        return Err(InvalidRequest::new(
            "max_tokens",
            "must be a whole number of 1 or more",
        ));
    }
    adopt(&mut fields);
    Ok(fields)
}

/// The fields that limit the tokens of a chat's answer. The first one that is there counts.
const MAX_TOKENS: &[&str] = &["max_completion_tokens", "max_tokens"];

/// Takes the limit of the answer's tokens out of these fields.
pub(super) fn max_tokens(
    fields: &mut Map<String, Value>,
    names: &[&'static str],
) -> Result<Option<u64>, InvalidRequest> {
    let mut limits = names
        .iter()
        .filter_map(|name| Some((*name, fields.remove(*name)?)))
        .collect::<Vec<_>>()
        .into_iter();
    let Some((name, value)) = limits.next() else {
        return Ok(None);
    };
    let tokens = value.as_u64().filter(|tokens| *tokens > 0);
    tokens
        .map(Some)
        .ok_or_else(|| InvalidRequest::new(name, "must be a whole number of 1 or more"))
}

/// Takes a flag, by default `false`.
pub(super) fn flag(fields: &mut Map<String, Value>, name: &str) -> Result<bool, InvalidRequest> {
    flag_or(fields, name, false)
}

/// Takes a flag with this default.
pub(super) fn flag_or(
    fields: &mut Map<String, Value>,
    name: &str,
    default: bool,
) -> Result<bool, InvalidRequest> {
    match fields.remove(name) {
        None => Ok(default),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(_) => Err(InvalidRequest::new(name, "must be true or false")),
    }
}

fn stream_options(options: Option<Value>) -> Result<bool, InvalidRequest> {
    match options {
        None => Ok(false),
        Some(Value::Object(mut options)) => {
            options.retain(|_, value| !value.is_null());
            flag(&mut options, "include_usage").map_err(|_| {
                InvalidRequest::new("stream_options.include_usage", "must be true or false")
            })
        }
        Some(_) => Err(InvalidRequest::new("stream_options", "must be an object")),
    }
}

/// Translates stop sequences. Claude rejects a sequence of white space alone.
fn stop_sequences(stop: Value) -> Result<Value, InvalidRequest> {
    let all = match stop {
        Value::Array(all) => all,
        one => vec![one],
    };
    for sequence in &all {
        match sequence.as_str() {
            Some(text) if !text.trim().is_empty() => {}
            Some(_) => {
                let message = "must not be white space alone: Claude has no such stop sequence";
                return Err(InvalidRequest::new("stop", message));
            }
            None => {
                return Err(InvalidRequest::new(
                    "stop",
                    "must be a string or a list of strings",
                ));
            }
        }
    }
    Ok(Value::Array(all))
}

/// Checks the remaining fields: hints and default values are dropped.
///
/// # Errors
/// Claude does not support a field.
fn check_remaining(fields: Map<String, Value>) -> Result<(), InvalidRequest> {
    for (name, value) in fields {
        let has_no_effect = match name.as_str() {
            "n" => value == 1,
            "logprobs" => value == false,
            "top_logprobs" => value == 0,
            "logit_bias" => value.as_object().is_some_and(Map::is_empty),
            "modalities" => value == json!(["text"]),
            _ => HINTS.contains(&name.as_str()),
        };
        if !has_no_effect {
            let message = match name.as_str() {
                "n" => "must be 1: Claude gives one answer a request",
                _ => "is not something that Claude can do; leave it out",
            };
            return Err(InvalidRequest::new(name, message));
        }
    }
    Ok(())
}
