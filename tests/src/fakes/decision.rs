//! What a fake does with one request. Nothing here waits or writes.

use hyper::http::request::Parts;

use super::answer::{Answer, Content};
use super::anthropic::{message, message_events};
use super::bedrock;
use super::behaviour::{Behaviour, Fail, Kind, Replay};
use super::claude;
use super::embeddings::{self, EmbeddingsRequest, embeddings};
use super::generation::{Events, Finish, Generation, data, event};
use super::inference_request::InferenceRequest;
use super::openai::{chat, chat_events, completion, completion_events};
use super::problem::{Dialect, Problem};
use super::responses::{response, response_events};
use super::route::Api;
use super::state::{State, unix_now};
use super::stream::Break;

pub(super) enum Decision {
    Replay(Replay, u64),
    Reset,
    Hang,
    Refuse(Problem),
    Answer(Answer),
}

impl Decision {
    /// The word for it in [`Recorded`](super::Recorded).
    pub(super) fn word(&self) -> String {
        match self {
            Self::Replay(..) => "replay".to_owned(),
            Self::Reset => "reset".to_owned(),
            Self::Hang => "hang".to_owned(),
            Self::Refuse(problem) => problem.status.to_string(),
            Self::Answer(Answer {
                stop: Some(Break::Cut(_)),
                ..
            }) => "cut".to_owned(),
            Self::Answer(Answer {
                stop: Some(Break::Error(..)),
                ..
            }) => "error_event".to_owned(),
            Self::Answer(_) => "200".to_owned(),
        }
    }

    /// Decides on an inference request. A failure comes before everything else, as a broken server does not look at its requests.
    pub(super) fn on(
        state: &State,
        behaviour: &Behaviour,
        api: Api,
        parts: &Parts,
        body: &[u8],
    ) -> Self {
        if let Some(replay) = &behaviour.replay {
            return Self::Replay(replay.clone(), behaviour.token_ms);
        }
        match behaviour.fail {
            Fail::Reset => return Self::Reset,
            Fail::Hang => return Self::Hang,
            Fail::Status(status) if is_claude(&state.kind) => {
                return Self::Refuse(Problem::anthropic(status, "The fake was told so."));
            }
            Fail::Status(status) => return Self::Refuse(Problem::of_status(status)),
            Fail::None | Fail::Cut(_) | Fail::ErrorEvent(_) | Fail::Abort => {}
        }
        match authorize(&state.kind, parts)
            .and_then(|()| answer(state, behaviour, api, parts, body))
        {
            Ok(answer) => Self::Answer(answer),
            Err(problem) => Self::Refuse(problem),
        }
    }
}

fn is_claude(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Anthropic { .. } | Kind::Vertex { .. } | Kind::Bedrock { .. }
    )
}

/// A provider's key check; a pool asks for none.
pub(super) fn authorize(kind: &Kind, parts: &Parts) -> Result<(), Problem> {
    let api_key = match kind {
        Kind::Pool { .. } => return Ok(()),
        Kind::Anthropic { api_key, .. } => return claude::authorize(api_key, parts),
        Kind::Vertex { token, .. } => return claude::authorize_by_google(token, parts),
        Kind::Bedrock { api_key, .. } => return bedrock::authorize(api_key, parts),
        Kind::Provider { api_key } => api_key,
    };
    let given = parts.headers.get(hyper::header::AUTHORIZATION);
    match given {
        Some(value) if value.as_bytes() == format!("Bearer {api_key}").as_bytes() => Ok(()),
        _ => Err(Problem::bad_key(given.is_some())),
    }
}

/// Whose errors are spoken at this endpoint.
pub(super) fn dialect(kind: &Kind, api: Option<Api>) -> Dialect {
    match (kind, api) {
        (Kind::Bedrock { .. }, _) => Dialect::Aws,
        (_, Some(Api::Messages)) => Dialect::Anthropic,
        (Kind::Anthropic { .. } | Kind::Vertex { .. }, _) => Dialect::Anthropic,
        (Kind::Pool { .. }, _) => Dialect::Vllm,
        (Kind::Provider { .. }, _) => Dialect::OpenAi,
    }
}

fn answer(
    state: &State,
    behaviour: &Behaviour,
    api: Api,
    parts: &Parts,
    body: &[u8],
) -> Result<Answer, Problem> {
    if is_claude(&state.kind) {
        return claude::answer(state, behaviour, parts, body);
    }
    let request = InferenceRequest::parse(api, &state.kind, parts, body)?;
    if let Kind::Pool { models } = &state.kind
        && !models.contains(&request.model)
    {
        return Err(Problem::unknown_model(&request.model, models));
    }
    let stop = stop(state, behaviour, api, &request)?;
    if api == Api::Embeddings {
        return Ok(embed(state, &request, stop));
    }
    let (tokens, finish) = match (behaviour.fail, request.max_tokens) {
        (Fail::Abort, _) => (0, Finish::Abort),
        (_, Some(most)) if most < behaviour.tokens => (most, Finish::Length),
        _ => (behaviour.tokens, Finish::Stop),
    };
    let generation = Generation {
        server: &state.name,
        model: &request.model,
        id: state.next_id(),
        created: unix_now(),
        tokens,
        finish,
        prompt_tokens: request.prompt_tokens,
        include_usage: request.include_usage,
    };
    let content = if request.stream {
        Content::Events(events(api, &generation))
    } else {
        Content::Whole(whole(api, &generation).into())
    };
    Ok(Answer {
        content,
        tokens,
        prompt_tokens: request.prompt_tokens,
        finish,
        stop,
    })
}

/// Where the answer breaks off; an answer in one piece has no place for an error event, and is a problem instead.
fn stop(
    state: &State,
    behaviour: &Behaviour,
    api: Api,
    request: &InferenceRequest,
) -> Result<Option<Break>, Problem> {
    match behaviour.fail {
        Fail::Cut(after) => Ok(Some(Break::Cut(after))),
        Fail::ErrorEvent(_) if !request.stream || api == Api::Embeddings => {
            Err(Problem::overloaded())
        }
        Fail::ErrorEvent(after) => {
            let error = Problem::overloaded().render(dialect(&state.kind, Some(api)));
            let error = if api == Api::Messages {
                event("error", &error)
            } else {
                data(&error)
            };
            Ok(Some(Break::Error(after, error)))
        }
        Fail::None | Fail::Status(_) | Fail::Reset | Fail::Hang | Fail::Abort => Ok(None),
    }
}

fn whole(api: Api, generation: &Generation<'_>) -> String {
    match api {
        Api::Completions => completion(generation),
        Api::Responses => response(generation),
        Api::Messages => message(generation),
        Api::Chat | Api::Embeddings => chat(generation),
    }
}

fn events(api: Api, generation: &Generation<'_>) -> Events {
    match api {
        Api::Completions => completion_events(generation),
        Api::Responses => response_events(generation),
        Api::Messages => message_events(generation),
        Api::Chat | Api::Embeddings => chat_events(generation),
    }
}

fn embed(state: &State, request: &InferenceRequest, stop: Option<Break>) -> Answer {
    let inputs = request
        .fields
        .get("input")
        .map(embeddings::inputs)
        .unwrap_or_default();
    let dimensions = request
        .fields
        .get("dimensions")
        .and_then(|value| usize::try_from(value.as_u64()?).ok());
    let embeddings_request = EmbeddingsRequest {
        inputs: &inputs,
        dimensions: dimensions.unwrap_or(8),
        base64: request
            .fields
            .get("encoding_format")
            .is_some_and(|format| format == "base64"),
        model: &request.model,
        prompt_tokens: request.prompt_tokens,
    };
    let content =
        Content::Whole(embeddings(&embeddings_request, state.next_id(), unix_now()).into());
    Answer {
        content,
        tokens: 0,
        prompt_tokens: request.prompt_tokens,
        finish: Finish::Stop,
        stop,
    }
}
