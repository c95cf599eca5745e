//! Anthropic's Messages API, as strict as its own: what it would refuse is refused, unknown fields first of all.

mod request;

use super::answer::{Answer, Content};
use super::bedrock;
use super::behaviour::{Behaviour, Fail, Kind};
use super::generation::{Events, Finish, event};
use super::headers::header;
use super::problem::{Dialect, Problem};
use super::state::State;
use super::stream::Break;
use hyper::http::request::Parts;
use request::{CONTEXT_MANAGEMENT, Request};
use serde_json::{Value, json};

/// The version of the API.
const VERSION: &str = "2026-10-21";
/// The version before, which callers still use, and what Google and AWS call it.
const PREVIOUS: [&str; 3] = ["2023-06-01", "vertex-2023-10-16", "bedrock-2023-05-31"];

fn is_version(version: &str) -> bool {
    version == VERSION || PREVIOUS.contains(&version)
}

/// Its key check, and the version that it is asked for.
pub(super) fn authorize(api_key: &str, parts: &Parts) -> Result<(), Problem> {
    let header = |name| header(parts, name);
    // The API takes either; who sends both sends one too many.
    let bearer = format!("Bearer {api_key}");
    let given = (header("x-api-key"), header("authorization"));
    if given != (api_key, "") && given != ("", &bearer) {
        return Err(Problem::anthropic(401, "invalid x-api-key"));
    }
    if !is_version(header("anthropic-version")) {
        return Err(Problem::anthropic(
            400,
            "anthropic-version: header is required",
        ));
    }
    Ok(())
}

/// Answers a request, or says what the API would say of it.
pub(super) fn answer(
    state: &State,
    behaviour: &Behaviour,
    parts: &Parts,
    body: &[u8],
) -> Result<Answer, Problem> {
    let refuse = |message: String| Problem::anthropic(400, message);
    let request: Request =
        serde_json::from_slice(body).map_err(|error| refuse(error.to_string()))?;
    let betas = betas(&state.kind, parts, &request.anthropic_beta).map_err(refuse)?;
    request.check(&betas).map_err(refuse)?;
    let is_general = matches!(state.kind, Kind::Anthropic { .. });
    if request.defers_tools() && !is_general && !betas.contains(&TOOL_SEARCH) {
        return Err(refuse(
            "tools.defer_loading: Extra inputs are not permitted".into(),
        ));
    }
    let model = request.model(&state.kind, parts)?;
    let calls = request.calls();
    let blocks = if calls.is_empty() {
        vec![json!({ "type": "text", "text": request.text(&state.name, behaviour.tokens) })]
    } else {
        calls
    };
    let stop_reason = if blocks[0]["type"] == "tool_use" {
        "tool_use"
    } else {
        "end_turn"
    };
    let usage = json!({
        "input_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": behaviour.tokens,
        "inference_geo": request.ran_in(state, behaviour),
    });
    let mut message = json!({
        "id": format!("msg_{:016x}", state.next_id()), "type": "message", "role": "assistant", "model": model,
        "content": blocks, "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
    });
    let is_streamed = request.is_streamed(&state.kind, parts);
    let content = if is_streamed {
        message["content"] = json!([]);
        message["stop_reason"] = Value::Null;
        Content::Events(events(&message, &blocks, stop_reason, behaviour.tokens))
    } else {
        Content::Whole(message.to_string().into())
    };
    Ok(Answer {
        content,
        tokens: behaviour.tokens,
        prompt_tokens: 7,
        finish: Finish::Stop,
        stop: stop(behaviour, is_streamed)?,
    })
}

/// The beta that tools need to be loaded when they are searched for, at Google and AWS.
const TOOL_SEARCH: &str = "tool-search-tool-2025-10-19";

/// The betas of a request. A host refuses those that it does not have.
fn betas<'r>(kind: &Kind, parts: &'r Parts, in_body: &'r [String]) -> Result<Vec<&'r str>, String> {
    let header = header(parts, "anthropic-beta");
    let (wrong, place) = match kind {
        Kind::Bedrock { .. } => (!header.is_empty(), "header"),
        _ => (!in_body.is_empty(), "body"),
    };
    if wrong {
        return Err(format!("anthropic_beta: not in the {place}"));
    }
    let names = header.split(',').chain(in_body.iter().map(String::as_str));
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    let known: &[&str] = match kind {
        Kind::Anthropic { .. } => &[
            CONTEXT_MANAGEMENT,
            "advanced-tool-use-2025-11-20",
            "claude-code-20250219",
            "effort-2025-11-24",
            "interleaved-thinking-2025-05-14",
            "mid-conversation-tool-changes-2026-07-01",
            "thinking-token-count-2026-05-13",
        ],
        _ => &[
            CONTEXT_MANAGEMENT,
            "effort-2025-11-24",
            "interleaved-thinking-2025-05-14",
            "mid-conversation-tool-changes-2026-07-01",
            TOOL_SEARCH,
        ],
    };
    match names.iter().find(|name| !known.contains(name)) {
        Some(name) => Err(format!(
            "Unexpected value `{name}` for the `anthropic-beta` header"
        )),
        None => Ok(names),
    }
}

/// Where the answer breaks off; an answer in one piece has no place for an error event, and is a problem instead.
fn stop(behaviour: &Behaviour, is_streamed: bool) -> Result<Option<Break>, Problem> {
    let overloaded = || Problem::anthropic(529, "Overloaded");
    match behaviour.fail {
        Fail::Cut(after) => Ok(Some(Break::Cut(after))),
        Fail::ErrorEvent(_) if !is_streamed => Err(overloaded()),
        Fail::ErrorEvent(after) => {
            let error = event("error", &overloaded().render(Dialect::Anthropic));
            Ok(Some(Break::Error(after, error)))
        }
        Fail::None | Fail::Status(_) | Fail::Reset | Fail::Hang | Fail::Abort => Ok(None),
    }
}

/// Google's token check.
pub(super) fn authorize_by_google(token: &str, parts: &Parts) -> Result<(), Problem> {
    let given = parts.headers.get("authorization");
    let right = given.is_some_and(|given| given.as_bytes() == format!("Bearer {token}").as_bytes());
    if right && !parts.headers.contains_key("x-api-key") {
        Ok(())
    } else {
        Err(Problem::anthropic(
            401,
            "Request had invalid authentication credentials.",
        ))
    }
}

impl Request {
    fn is_streamed(&self, kind: &Kind, parts: &Parts) -> bool {
        match kind {
            Kind::Bedrock { model, .. } => bedrock::streams(model, parts.uri.path()) == Some(true),
            _ => self.stream == Some(true),
        }
    }

    /// Where the model ran, as the answer says. Only Anthropic's own API is told where to run, and says where it did.
    fn ran_in<'a>(&'a self, state: &State, behaviour: &'a Behaviour) -> &'a str {
        match (&behaviour.inference_geo, &state.kind) {
            (Some(geo), _) => geo,
            (None, Kind::Anthropic { .. }) => self.inference_geo.as_deref().unwrap_or("global"),
            (None, _) => "not_available",
        }
    }

    /// The model, which stands in the body, or in Vertex's or Bedrock's path. The version of the API stands where the model does not.
    fn model(&self, kind: &Kind, parts: &Parts) -> Result<String, Problem> {
        match kind {
            Kind::Vertex { model, .. } => self.vertex_model(model, parts),
            Kind::Bedrock { model, .. } => self.bedrock_model(model),
            Kind::Anthropic { model, .. } => self.anthropic_model(model),
            Kind::Pool { .. } | Kind::Provider { .. } => refuse("this server has no Claude"),
        }
    }

    fn vertex_model(&self, model: &str, parts: &Parts) -> Result<String, Problem> {
        let streams = parts.uri.path().ends_with(":streamRawPredict");
        match (&self.model, self.anthropic_version.as_deref()) {
            (Some(_), _) => refuse("model: Extra inputs are not permitted"),
            (None, Some(version)) if is_version(version) => {
                if streams == (self.stream == Some(true)) {
                    Ok(model.into())
                } else {
                    refuse("stream: does not go with the method")
                }
            }
            (None, _) => refuse("anthropic_version: Field required"),
        }
    }

    fn bedrock_model(&self, model: &str) -> Result<String, Problem> {
        match (&self.model, self.stream, self.anthropic_version.as_deref()) {
            (Some(_), _, _) => refuse("model: Extra inputs are not permitted"),
            (None, Some(_), _) => refuse("stream: Extra inputs are not permitted"),
            // It does not say where it ran, and takes no `inference_geo`.
            (None, None, Some(version)) if is_version(version) => {
                if self.inference_geo.is_none() {
                    Ok(model.into())
                } else {
                    refuse("inference_geo: Extra inputs are not permitted")
                }
            }
            (None, None, _) => refuse("anthropic_version: Field required"),
        }
    }

    fn anthropic_model(&self, model: &str) -> Result<String, Problem> {
        match (&self.model, &self.anthropic_version) {
            (_, Some(_)) => refuse("anthropic_version: Extra inputs are not permitted"),
            (None, _) => refuse("model: Field required"),
            (Some(wanted), None) if wanted == model => Ok(model.into()),
            (Some(wanted), None) => Err(Problem::anthropic(404, format!("model: {wanted}"))),
        }
    }
}

fn refuse(message: &str) -> Result<String, Problem> {
    Err(Problem::anthropic(400, message))
}

fn events(message: &Value, blocks: &[Value], stop_reason: &str, tokens: usize) -> Events {
    let named = |kind: &str, mut fields: Value| {
        fields["type"] = json!(kind);
        event(kind, &fields.to_string())
    };
    let mut opening = vec![
        named("message_start", json!({ "message": message })),
        named("ping", json!({})),
    ];
    let mut all = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let mut begun = block.clone();
        let deltas: Vec<Value> = if block["type"] == "tool_use" {
            begun["input"] = json!({});
            let input = block["input"].to_string();
            let (one, other) = input.split_at(input.len() / 2);
            [one, other]
                .map(|part| json!({ "type": "input_json_delta", "partial_json": part }))
                .into()
        } else {
            let text = begun["text"].take();
            begun["text"] = json!("");
            let words = text.as_str().unwrap_or_default().split_inclusive(' ');
            words
                .map(|word| json!({ "type": "text_delta", "text": word }))
                .collect()
        };
        all.push(named(
            "content_block_start",
            json!({ "index": index, "content_block": begun }),
        ));
        all.extend(deltas.iter().map(|delta| {
            named(
                "content_block_delta",
                json!({ "index": index, "delta": delta }),
            )
        }));
        all.push(named("content_block_stop", json!({ "index": index })));
    }
    opening.push(all.remove(0));
    let delta = json!({ "stop_reason": stop_reason, "stop_sequence": null });
    let usage = json!({ "output_tokens": tokens });
    Events {
        opening,
        tokens: all,
        closing: vec![
            named("message_delta", json!({ "delta": delta, "usage": usage })),
            named("message_stop", json!({})),
        ],
        end: None,
    }
}
