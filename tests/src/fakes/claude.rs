//! Anthropic's Messages API, as strict as its own: what it would refuse is refused, unknown fields first of all.

use super::bedrock;
use super::behaviour::{Behaviour, Fail, Kind};
use super::decision::{Answer, Said};
use super::generation::{Events, Finish, event};
use super::problem::{Dialect, Problem};
use super::state::State;
use super::stream::Break;
use hyper::http::request::Parts;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The version of the API.
const VERSION: &str = "2026-10-21";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    model: Option<String>,
    anthropic_version: Option<String>,
    max_tokens: u64,
    messages: Vec<Message>,
    #[serde(default)]
    system: Vec<Block>,
    stream: Option<bool>,
    #[serde(default)]
    stop_sequences: Vec<String>,
    #[serde(default)]
    tools: Vec<Tool>,
    tool_choice: Option<Choice>,
    output_config: Option<OutputConfig>,
    inference_geo: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    role: Role,
    content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    User,
    Assistant,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Block {
    Text {
        text: String,
    },
    Image {
        source: Source,
    },
    Document {
        source: Source,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(rename = "input")]
        _input: Map<String, Value>,
    },
    ToolResult {
        tool_use_id: String,
        #[serde(default)]
        content: Vec<Block>,
    },
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Source {
    Base64 { media_type: String, data: String },
    Url { url: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    name: String,
    #[serde(rename = "description")]
    _description: Option<String>,
    input_schema: Value,
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Choice {
    Auto {
        #[serde(default)]
        disable_parallel_tool_use: bool,
    },
    Any {
        #[serde(default)]
        disable_parallel_tool_use: bool,
    },
    Tool {
        name: String,
        #[serde(default, rename = "disable_parallel_tool_use")]
        _disable_parallel_tool_use: bool,
    },
    None {},
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputConfig {
    format: Format,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Format {
    JsonSchema { schema: Map<String, Value> },
}

/// Its key check, and the version that it is asked for.
pub(super) fn authorize(api_key: &str, parts: &Parts) -> Result<(), Problem> {
    let header = |name: &str| {
        let value = parts.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
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

    fn check(&self) -> Result<(), String> {
        if self.max_tokens == 0 {
            return Err("max_tokens: must be at least 1".into());
        }
        for text in &self.stop_sequences {
            if text.trim().is_empty() {
                return Err(
                    "stop_sequences: each stop sequence must contain non-whitespace".into(),
                );
            }
        }
        for block in &self.system {
            match block {
                Block::Text { text } => not_blank("system", text)?,
                _ => return Err("system: must be text".into()),
            }
        }
        for tool in &self.tools {
            if tool.input_schema["type"] != "object" {
                return Err(format!(
                    "tools.{}.input_schema.type: must be object",
                    tool.name
                ));
            }
        }
        if let Some(choice) = &self.tool_choice {
            let known = |name: &String| self.tools.iter().any(|tool| tool.name == *name);
            if self.tools.is_empty() || matches!(choice, Choice::Tool { name, .. } if !known(name))
            {
                return Err("tool_choice: there is no such tool".into());
            }
        }
        self.check_messages()
    }

    fn check_messages(&self) -> Result<(), String> {
        let mut open: Vec<&String> = Vec::new();
        let mut before = Role::Assistant;
        for (index, message) in self.messages.iter().enumerate() {
            let at = format!("messages.{index}");
            if index == 0 && message.role != Role::User {
                return Err("messages: first message must use the \"user\" role".into());
            }
            // The API joins them; whoever translates is to do so itself.
            if message.role == before && index > 0 {
                return Err(format!("{at}: two turns of one role"));
            }
            before = message.role;
            let blocks = match &message.content {
                Content::Text(text) => {
                    not_blank(&at, text)?;
                    &[][..]
                }
                Content::Blocks(blocks) if blocks.is_empty() => {
                    return Err(format!("{at}: is empty"));
                }
                Content::Blocks(blocks) => blocks.as_slice(),
            };
            let mut results = Vec::new();
            for block in blocks {
                match (block, message.role) {
                    (Block::Text { text }, _) => not_blank(&at, text)?,
                    (Block::Image { source }, Role::User) => source.check(&at, "image/")?,
                    (Block::Document { source }, Role::User) => {
                        source.check(&at, "application/pdf")?
                    }
                    (Block::ToolResult { tool_use_id, .. }, Role::User) => {
                        results.push(tool_use_id)
                    }
                    (Block::ToolUse { .. }, Role::Assistant) => {}
                    _ => return Err(format!("{at}: a block that this role does not have")),
                }
            }
            if results != open {
                return Err(format!(
                    "{at}: `tool_use` ids were found without `tool_result` blocks immediately after: {open:?}, {results:?}"
                ));
            }
            open = blocks
                .iter()
                .filter_map(|block| match block {
                    Block::ToolUse { id, .. } => Some(id),
                    _ => None,
                })
                .collect();
        }
        match self.messages.last() {
            None => Err("messages: at least one message is required".into()),
            Some(last)
                if last.role == Role::Assistant && last.said().ends_with(char::is_whitespace) =>
            {
                Err("messages: final assistant content cannot end with trailing whitespace".into())
            }
            Some(_) => Ok(()),
        }
    }

    /// The calls that Claude makes where it is given tools and no results.
    fn calls(&self) -> Vec<Value> {
        let has_results = self.messages.last().is_some_and(|last| {
            matches!(&last.content, Content::Blocks(blocks)
                if blocks.iter().any(|block| matches!(block, Block::ToolResult { .. })))
        });
        let most = match &self.tool_choice {
            _ if has_results => 0,
            Some(Choice::None {}) => 0,
            Some(Choice::Tool { .. })
            | Some(
                Choice::Auto {
                    disable_parallel_tool_use: true,
                }
                | Choice::Any {
                    disable_parallel_tool_use: true,
                },
            ) => 1,
            _ => 2,
        };
        let chosen = |tool: &&Tool| match &self.tool_choice {
            Some(Choice::Tool { name, .. }) => tool.name == *name,
            _ => true,
        };
        let tools = self.tools.iter().filter(chosen).take(most).enumerate();
        tools
            .map(|(index, tool)| {
                let input = filled(&tool.input_schema);
                json!({ "type": "tool_use", "id": format!("toolu_{index}"), "name": tool.name, "input": input })
            })
            .collect()
    }

    /// Tokens by number; or what the schema wants; and what was seen of the request.
    fn text(&self, name: &str, tokens: usize) -> String {
        if let Some(OutputConfig {
            format: Format::JsonSchema { schema },
        }) = &self.output_config
        {
            return filled(&Value::Object(schema.clone())).to_string();
        }
        let mut seen = Vec::new();
        for message in &self.messages {
            let Content::Blocks(blocks) = &message.content else {
                continue;
            };
            for block in blocks {
                match block {
                    Block::Image { source } => seen.push(format!("image {}", source.shown())),
                    Block::Document { source } => seen.push(format!("document {}", source.shown())),
                    Block::ToolResult {
                        tool_use_id,
                        content,
                    } => {
                        let content: Vec<&str> = content.iter().map(Block::text).collect();
                        seen.push(format!("{tool_use_id}={}", content.concat()));
                    }
                    Block::Text { .. } | Block::ToolUse { .. } => {}
                }
            }
        }
        for block in &self.system {
            seen.push(format!("system {}", block.text()));
        }
        let tokens: Vec<String> = (0..tokens).map(|index| format!("token{index}")).collect();
        format!("{name} {} [{}]", tokens.join(" "), seen.join("; "))
    }
}

impl Message {
    fn said(&self) -> &str {
        match &self.content {
            Content::Text(text) => text,
            Content::Blocks(blocks) => blocks.last().map_or("", Block::text),
        }
    }
}

impl Block {
    fn text(&self) -> &str {
        match self {
            Self::Text { text } => text,
            Self::ToolUse { name, .. } => name,
            _ => "",
        }
    }
}

impl Source {
    fn check(&self, at: &str, of: &str) -> Result<(), String> {
        match self {
            Self::Url { url } if url.starts_with("https://") => Ok(()),
            Self::Base64 { media_type, data } if media_type.starts_with(of) && !data.is_empty() => {
                Ok(())
            }
            _ => Err(format!("{at}: source")),
        }
    }

    fn shown(&self) -> &str {
        match self {
            Self::Url { url } => url,
            Self::Base64 { media_type, .. } => media_type,
        }
    }
}

fn not_blank(at: &str, text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err(format!(
            "{at}: text content blocks must contain non-whitespace text"
        ));
    }
    Ok(())
}

/// An object with a text in each property.
fn filled(schema: &Value) -> Value {
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .map(|(name, _)| (name.clone(), json!(format!("a {name}"))))
        .collect::<Map<String, Value>>()
        .into()
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
