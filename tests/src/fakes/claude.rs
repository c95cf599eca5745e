//! Anthropic's Messages API, as strict as its own: what it would refuse is refused, unknown fields first of all.

mod request;

use super::bedrock;
use super::behaviour::{Behaviour, Fail, Kind};
use super::decision::{Answer, Said};
use super::generation::{Events, Finish, event};
use super::problem::{Dialect, Problem};
use super::state::State;
use super::stream::Break;
use hyper::http::request::Parts;
use request::Request;
use serde_json::{Value, json};

/// The version of the API.
const VERSION: &str = "2026-10-21";

/// Its key check, and the version that it is asked for.
pub(super) fn authorize(api_key: &str, parts: &Parts) -> Result<(), Problem> {
    let header = |name| header(parts, name);
    // The API takes either; who sends both sends one too many.
    let bearer = format!("Bearer {api_key}");
    let given = (header("x-api-key"), header("authorization"));
    if given != (api_key, "") && given != ("", &bearer) {
        return Err(Problem::anthropic(401, "invalid x-api-key"));
    }
    if header("anthropic-version") != VERSION {
        return Err(Problem::anthropic(
            400,
            "anthropic-version: header is required",
        ));
    }
    Ok(())
}

/// A header of a request; empty where it has none.
pub(super) fn header<'p>(parts: &'p Parts, name: &str) -> &'p str {
    let value = parts.headers.get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
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
    request.check().map_err(refuse)?;
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
    // Only Anthropic's own API is told where to run, and tells it.
    let geo = match (&behaviour.inference_geo, &state.kind) {
        (Some(geo), _) => geo,
        (None, Kind::Anthropic { .. }) => request.inference_geo.as_deref().unwrap_or("global"),
        (None, _) => "not_available",
    };
    let usage = json!({
        "input_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4, "output_tokens": behaviour.tokens,
        "inference_geo": geo,
    });
    let mut message = json!({
        "id": format!("msg_{:016x}", state.next_id()), "type": "message", "role": "assistant", "model": model,
        "content": blocks, "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
    });
    let is_streamed = request.is_streamed(&state.kind, parts);
    let said = if is_streamed {
        message["content"] = json!([]);
        message["stop_reason"] = Value::Null;
        Said::Events(events(&message, &blocks, stop_reason, behaviour.tokens))
    } else {
        Said::Whole(message.to_string().into())
    };
    let overloaded = || {
        event(
            "error",
            &Problem::anthropic(529, "Overloaded").render(Dialect::Anthropic),
        )
    };
    let stop = match behaviour.fail {
        Fail::Cut(after) => Some(Break::Cut(after)),
        Fail::ErrorEvent(_) if !is_streamed => {
            return Err(Problem::anthropic(529, "Overloaded"));
        }
        Fail::ErrorEvent(after) => Some(Break::Error(after, overloaded())),
        Fail::None | Fail::Status(_) | Fail::Reset | Fail::Hang | Fail::Abort => None,
    };
    Ok(Answer {
        said,
        tokens: behaviour.tokens,
        prompt_tokens: 7,
        finish: Finish::Stop,
        stop,
    })
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

    /// The model, which stands in the body, or in Vertex's or Bedrock's path. The version of the API stands where the model does not.
    fn model(&self, kind: &Kind, parts: &Parts) -> Result<String, Problem> {
        let refuse = |message: &str| Err(Problem::anthropic(400, message));
        match kind {
            Kind::Vertex { model, .. } => {
                let streams = parts.uri.path().ends_with(":streamRawPredict");
                match (&self.model, self.anthropic_version.as_deref()) {
                    (Some(_), _) => refuse("model: Extra inputs are not permitted"),
                    (None, Some(VERSION)) if streams == (self.stream == Some(true)) => {
                        Ok(model.clone())
                    }
                    (None, Some(VERSION)) => refuse("stream: does not go with the method"),
                    (None, _) => refuse("anthropic_version: Field required"),
                }
            }
            Kind::Bedrock { model, .. } => {
                match (&self.model, self.stream, self.anthropic_version.as_deref()) {
                    (Some(_), _, _) => refuse("model: Extra inputs are not permitted"),
                    (None, Some(_), _) => refuse("stream: Extra inputs are not permitted"),
                    // It does not say where it ran, and takes no `inference_geo`.
                    (None, None, Some(VERSION)) if self.inference_geo.is_none() => {
                        Ok(model.clone())
                    }
                    (None, None, Some(VERSION)) => {
                        refuse("inference_geo: Extra inputs are not permitted")
                    }
                    (None, None, _) => refuse("anthropic_version: Field required"),
                }
            }
            Kind::Anthropic { model, .. } => match (&self.model, &self.anthropic_version) {
                (_, Some(_)) => refuse("anthropic_version: Extra inputs are not permitted"),
                (None, _) => refuse("model: Field required"),
                (Some(asked), None) if asked == model => Ok(model.clone()),
                (Some(asked), None) => Err(Problem::anthropic(404, format!("model: {asked}"))),
            },
            Kind::Pool { .. } | Kind::Provider { .. } => refuse("this is no Claude"),
        }
    }
}

fn events(message: &Value, blocks: &[Value], stop_reason: &str, tokens: usize) -> Events {
    let said = |kind: &str, mut fields: Value| {
        fields["type"] = json!(kind);
        event(kind, &fields.to_string())
    };
    let mut opening = vec![
        said("message_start", json!({ "message": message })),
        said("ping", json!({})),
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
        all.push(said(
            "content_block_start",
            json!({ "index": index, "content_block": begun }),
        ));
        all.extend(deltas.iter().map(|delta| {
            said(
                "content_block_delta",
                json!({ "index": index, "delta": delta }),
            )
        }));
        all.push(said("content_block_stop", json!({ "index": index })));
    }
    opening.push(all.remove(0));
    let delta = json!({ "stop_reason": stop_reason, "stop_sequence": null });
    let usage = json!({ "output_tokens": tokens });
    Events {
        opening,
        tokens: all,
        closing: vec![
            said("message_delta", json!({ "delta": delta, "usage": usage })),
            said("message_stop", json!({})),
        ],
        end: None,
    }
}
