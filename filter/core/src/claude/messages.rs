//! Translates the messages of a conversation.

use super::history::tool_id;
use super::invalid_request::InvalidRequest;
use crate::bounded_json::{self, Unreadable};
use serde_json::{Map, Value, json};

/// A conversation in the Messages API: the system prompt, and the turns of user and assistant.
#[derive(Debug, Default)]
pub struct Turns {
    /// The system prompt, as text blocks.
    pub system: Vec<Value>,
    /// The messages. Consecutive messages have different roles.
    pub messages: Vec<Value>,
    /// Memory that is left for the arguments of calls, whose JSON is a text in the request, in bytes.
    max_tree: usize,
}

/// The roles of a turn.
pub(super) const USER: &str = "user";
pub(super) const ASSISTANT: &str = "assistant";

/// Image types that Claude reads.
const IMAGE_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// Translates messages. `max_tree`: memory for the arguments of calls, in bytes. System and developer messages become the system prompt. Tool results become content of the user.
///
/// # Errors
/// A message is invalid, or there is none of the user or the assistant.
pub fn turns(messages: Option<Value>, max_tree: usize) -> Result<Turns, InvalidRequest> {
    let Some(Value::Array(messages)) = messages else {
        return Err(InvalidRequest::new(
            "messages",
            "must be a list of messages",
        ));
    };
    let mut turns = Turns::new(max_tree);
    for (index, message) in messages.into_iter().enumerate() {
        let at = format!("messages[{index}]");
        let Value::Object(message) = message else {
            return Err(InvalidRequest::new(at, "must be a message"));
        };
        turns.add(&at, message)?;
    }
    turns.finish("messages")
}

impl Turns {
    /// A conversation without messages. `max_tree`: memory for the arguments of calls, in bytes.
    pub(super) fn new(max_tree: usize) -> Self {
        Self {
            max_tree,
            ..Self::default()
        }
    }

    /// The conversation, once it has all of its messages. `at`: their place.
    ///
    /// # Errors
    /// There is no message.
    pub(super) fn finish(mut self, at: &str) -> Result<Self, InvalidRequest> {
        if self.messages.is_empty() {
            return Err(InvalidRequest::new(at, "must have a message of the user"));
        }
        self.trim_last();
        Ok(self)
    }

    fn add(&mut self, at: &str, mut message: Map<String, Value>) -> Result<(), InvalidRequest> {
        message.retain(|_, value| !value.is_null());
        let content = message.remove("content");
        let at_content = format!("{at}.content");
        match message.get("role").and_then(Value::as_str) {
            Some("system" | "developer") => {
                self.system.extend(texts(&at_content, content)?);
            }
            Some(USER) => {
                let blocks = blocks(&at_content, content, user_part)?;
                if blocks.is_empty() {
                    return Err(InvalidRequest::new(at_content, "must not be empty"));
                }
                self.push(USER, blocks);
            }
            Some(ASSISTANT) => self.add_assistant(at, &at_content, content, message)?,
            Some("tool") => self.add_tool_result(at, &at_content, content, message)?,
            _ => {
                let message = "must be `system`, `developer`, `user`, `assistant` or `tool`";
                return Err(InvalidRequest::new(format!("{at}.role"), message));
            }
        }
        Ok(())
    }

    fn add_assistant(
        &mut self,
        at: &str,
        at_content: &str,
        content: Option<Value>,
        mut message: Map<String, Value>,
    ) -> Result<(), InvalidRequest> {
        let mut turn = blocks(at_content, content, assistant_part)?;
        turn.extend(text_block(message.get("refusal")));
        turn.extend(self.tool_uses(at, message.remove("tool_calls"))?);
        for field in ["function_call", "audio"] {
            if message.contains_key(field) {
                let message = "is not something that Claude can read; use `tool_calls`, or text";
                return Err(InvalidRequest::new(format!("{at}.{field}"), message));
            }
        }
        self.push(ASSISTANT, turn);
        Ok(())
    }

    fn add_tool_result(
        &mut self,
        at: &str,
        at_content: &str,
        content: Option<Value>,
        mut message: Map<String, Value>,
    ) -> Result<(), InvalidRequest> {
        let Some(Value::String(id)) = message.remove("tool_call_id") else {
            let message = "must name the call that this is the result of";
            return Err(InvalidRequest::new(format!("{at}.tool_call_id"), message));
        };
        self.push_result(&id, texts(at_content, content)?);
        Ok(())
    }

    /// Adds the result of a tool call to the turn of the user. Results are the first blocks of a turn: Claude wants them right behind
    /// the calls.
    pub(super) fn push_result(&mut self, id: &str, content: Vec<Value>) {
        let mut result = json!({ "type": "tool_result", "tool_use_id": tool_id(id) });
        if !content.is_empty() {
            result["content"] = json!(content);
        }
        if let Some(last) = self.messages.last_mut()
            && last["role"] == USER
            && let Some(blocks) = last["content"].as_array_mut()
        {
            let is_result = |block: &Value| block["type"] == "tool_result";
            let results = blocks.iter().take_while(|block| is_result(block)).count();
            blocks.insert(results, result);
        } else {
            self.push(USER, vec![result]);
        }
    }

    /// Adds blocks to the last turn, or to a new one if that is of another role.
    pub(super) fn push(&mut self, role: &str, blocks: Vec<Value>) {
        if blocks.is_empty() {
            return;
        }
        if let Some(last) = self.messages.last_mut()
            && last["role"] == role
            && let Some(content) = last["content"].as_array_mut()
        {
            content.extend(blocks);
            return;
        }
        self.messages
            .push(json!({ "role": role, "content": blocks }));
    }

    /// Removes white space at the end of a last message of the assistant. Claude rejects it there.
    fn trim_last(&mut self) {
        if let Some(last) = self.messages.last_mut()
            && last["role"] == ASSISTANT
            && let Some(block) = last["content"]
                .as_array_mut()
                .and_then(|all| all.last_mut())
            && let Some(text) = block["text"].as_str()
        {
            block["text"] = json!(text.trim_end());
        }
    }

    fn tool_uses(&mut self, at: &str, calls: Option<Value>) -> Result<Vec<Value>, InvalidRequest> {
        let calls = match calls {
            None => return Ok(Vec::new()),
            Some(Value::Array(calls)) => calls,
            Some(_) => {
                return Err(InvalidRequest::new(
                    format!("{at}.tool_calls"),
                    "must be a list of calls",
                ));
            }
        };
        let mut uses = Vec::new();
        for (index, call) in calls.iter().enumerate() {
            let at = format!("{at}.tool_calls[{index}]");
            let (id, function) = (&call["id"], &call["function"]);
            let Some(id) = id.as_str().filter(|_| function["name"].is_string()) else {
                return Err(InvalidRequest::new(
                    at,
                    "must be a call of a function, with its `id`",
                ));
            };
            let at = format!("{at}.function.arguments");
            let input = self.arguments(&at, &function["arguments"])?;
            uses.push(
                json!({ "type": "tool_use", "id": tool_id(id), "name": function["name"], "input": input }),
            );
        }
        Ok(uses)
    }

    /// The arguments of a call, which are JSON as text.
    pub(super) fn arguments(
        &mut self,
        at: &str,
        arguments: &Value,
    ) -> Result<Value, InvalidRequest> {
        let arguments = arguments.as_str().unwrap_or_default();
        if arguments.trim().is_empty() {
            return Ok(json!({}));
        }
        match bounded_json::read(arguments.as_bytes(), &mut self.max_tree) {
            Ok(input @ Value::Object(_)) => Ok(input),
            Err(Unreadable::TooLarge) => Err(InvalidRequest::new(
                at,
                "has more JSON values than the gateway translates",
            )),
            Ok(_) | Err(Unreadable::Invalid(_)) => {
                Err(InvalidRequest::new(at, "must be a JSON object, as text"))
            }
        }
    }
}

/// A text block. `None` for empty text and white space alone, which Claude rejects.
pub(super) fn text_block(text: Option<&Value>) -> Option<Value> {
    let text = text?.as_str().filter(|text| !text.trim().is_empty())?;
    Some(json!({ "type": "text", "text": text }))
}

/// The text blocks of a content that must be text.
fn texts(at: &str, content: Option<Value>) -> Result<Vec<Value>, InvalidRequest> {
    blocks(at, content, text_part)
}

pub(super) type Part =
    fn(at: &str, kind: &str, part: &Value) -> Result<Option<Value>, InvalidRequest>;

/// The blocks of a content: a text, or a list of parts.
pub(super) fn blocks(
    at: &str,
    content: Option<Value>,
    part: Part,
) -> Result<Vec<Value>, InvalidRequest> {
    match content {
        None => Ok(Vec::new()),
        Some(text @ Value::String(_)) => Ok(text_block(Some(&text)).into_iter().collect()),
        Some(Value::Array(parts)) => {
            let mut blocks = Vec::new();
            for (index, each) in parts.iter().enumerate() {
                let at = format!("{at}[{index}]");
                let kind = each["type"].as_str().unwrap_or_default();
                blocks.extend(part(&at, kind, each)?);
            }
            Ok(blocks)
        }
        Some(_) => Err(InvalidRequest::new(
            at,
            "must be a string or a list of parts",
        )),
    }
}

fn text_part(at: &str, kind: &str, part: &Value) -> Result<Option<Value>, InvalidRequest> {
    if kind == "text" && part["text"].is_string() {
        Ok(text_block(Some(&part["text"])))
    } else {
        Err(InvalidRequest::new(
            format!("{at}.type"),
            "must be `text`, with its `text`",
        ))
    }
}

fn assistant_part(at: &str, kind: &str, part: &Value) -> Result<Option<Value>, InvalidRequest> {
    match kind {
        "refusal" => Ok(text_block(part.get("refusal"))),
        _ => text_part(at, kind, part),
    }
}

fn user_part(at: &str, kind: &str, part: &Value) -> Result<Option<Value>, InvalidRequest> {
    match kind {
        "text" => text_part(at, kind, part),
        "image_url" => image(&format!("{at}.image_url.url"), &part["image_url"]["url"]).map(Some),
        "file" => pdf(&format!("{at}.file.file_data"), &part["file"]["file_data"]).map(Some),
        _ => {
            let message = "must be `text`, `image_url` or `file`: Claude reads nothing else";
            Err(InvalidRequest::new(format!("{at}.type"), message))
        }
    }
}

/// An image, by its URL or its bytes.
pub(super) fn image(at: &str, url: &Value) -> Result<Value, InvalidRequest> {
    let url = url.as_str().unwrap_or_default();
    let source = if url.starts_with("https://") {
        json!({ "type": "url", "url": url })
    } else {
        let (media_type, data) = data_url(at, url)?;
        if !IMAGE_TYPES.contains(&media_type) {
            let message = format!("must be one of {}", IMAGE_TYPES.join(", "));
            return Err(InvalidRequest::new(at, message));
        }
        json!({ "type": "base64", "media_type": media_type, "data": data })
    };
    Ok(json!({ "type": "image", "source": source }))
}

/// A PDF by its bytes, as a `data:` URL.
pub(super) fn pdf(at: &str, data: &Value) -> Result<Value, InvalidRequest> {
    let (media_type, data) = data_url(at, data.as_str().unwrap_or_default())?;
    if media_type != "application/pdf" {
        return Err(InvalidRequest::new(at, "must be a PDF"));
    }
    let source = json!({ "type": "base64", "media_type": media_type, "data": data });
    Ok(json!({ "type": "document", "source": source }))
}

/// The media type and the base64 data of a `data:` URL.
fn data_url<'u>(at: &str, url: &'u str) -> Result<(&'u str, &'u str), InvalidRequest> {
    url.strip_prefix("data:")
        .and_then(|rest| rest.split_once(";base64,"))
        .ok_or_else(|| {
            InvalidRequest::new(
                at,
                "must be `data:<media type>;base64,...`, or an https URL of an image",
            )
        })
}
