//! Translates the input: a text, or the items of a conversation.

use super::super::history::tool_id;
use super::super::invalid_request::InvalidRequest;
use super::super::messages::{ASSISTANT, Turns, USER, blocks, image, pdf, text_block};
use super::tools::{CUSTOM_INPUT, flat_name};
use serde_json::{Map, Value, json};

/// Translates an input. `max_tree`: memory for the arguments of calls, in bytes.
///
/// # Errors
/// An item is invalid, or is about something that only another server has.
pub fn turns(input: Option<Value>, max_tree: usize) -> Result<Turns, InvalidRequest> {
    let mut turns = Turns::new(max_tree);
    match input {
        Some(text @ Value::String(_)) => {
            turns.push(USER, text_block(Some(&text)).into_iter().collect());
        }
        Some(Value::Array(items)) => {
            for (index, item) in items.into_iter().enumerate() {
                let at = format!("input[{index}]");
                let Value::Object(mut item) = item else {
                    return Err(InvalidRequest::new(at, "must be an item"));
                };
                item.retain(|_, value| !value.is_null());
                add(&mut turns, &at, item)?;
            }
        }
        _ => {
            let message = "must be a text or a list of items";
            return Err(InvalidRequest::new("input", message));
        }
    }
    turns.finish("input")
}

fn add(turns: &mut Turns, at: &str, mut item: Map<String, Value>) -> Result<(), InvalidRequest> {
    let kind = item.remove("type");
    match kind.as_ref().map_or(Some("message"), Value::as_str) {
        Some("message") => message(turns, at, item),
        Some("function_call") => {
            let arguments = item.get("arguments").unwrap_or(&Value::Null);
            let input = turns.arguments(&format!("{at}.arguments"), arguments)?;
            call(turns, at, &item, input)
        }
        Some("custom_tool_call") => {
            let input = json!({ CUSTOM_INPUT: item.get("input") });
            call(turns, at, &item, input)
        }
        Some("function_call_output" | "custom_tool_call_output") => {
            let id = text(at, &item, "call_id")?.to_owned();
            let content = blocks(&format!("{at}.output"), item.remove("output"), part)?;
            turns.push_result(&id, content);
            Ok(())
        }
        // Its text is a summary: what was thought is not in it.
        Some("reasoning") if !item.contains_key("encrypted_content") => Ok(()),
        Some("reasoning") => Err(InvalidRequest::new(
            format!("{at}.encrypted_content"),
            "can be read by the server that made it, and by no other; leave the item out",
        )),
        Some("item_reference") => Err(InvalidRequest::new(
            format!("{at}.id"),
            "refers to an item that another server keeps; send the item itself",
        )),
        _ => Err(InvalidRequest::new(
            format!("{at}.type"),
            "must be a message, a call of a function or custom tool, its output, or reasoning: Claude can read no other items",
        )),
    }
}

fn message(
    turns: &mut Turns,
    at: &str,
    mut item: Map<String, Value>,
) -> Result<(), InvalidRequest> {
    let at_content = format!("{at}.content");
    let content = item.remove("content");
    match item.get("role").and_then(Value::as_str) {
        Some("system" | "developer") => {
            let blocks = blocks(&at_content, content, text_part)?;
            turns.system.extend(blocks);
        }
        Some(USER) => turns.push(USER, blocks(&at_content, content, part)?),
        Some(ASSISTANT) => turns.push(ASSISTANT, blocks(&at_content, content, text_part)?),
        _ => {
            let message = "must be `system`, `developer`, `user` or `assistant`";
            return Err(InvalidRequest::new(format!("{at}.role"), message));
        }
    }
    Ok(())
}

fn call(
    turns: &mut Turns,
    at: &str,
    item: &Map<String, Value>,
    input: Value,
) -> Result<(), InvalidRequest> {
    let (id, name) = (text(at, item, "call_id")?, text(at, item, "name")?);
    let name = flat_name(item.get("namespace").and_then(Value::as_str), name);
    let call = json!({ "type": "tool_use", "id": tool_id(id), "name": name, "input": input });
    turns.push(ASSISTANT, vec![call]);
    Ok(())
}

/// A text that an item must have.
fn text<'i>(
    at: &str,
    item: &'i Map<String, Value>,
    field: &str,
) -> Result<&'i str, InvalidRequest> {
    let value = item.get(field).and_then(Value::as_str);
    value.ok_or_else(|| InvalidRequest::new(format!("{at}.{field}"), "must be a text"))
}

/// A part of a message of the user, or of a tool's output.
fn part(at: &str, kind: &str, part: &Value) -> Result<Option<Value>, InvalidRequest> {
    if !part["file_id"].is_null() {
        let message = "refers to a file that another server keeps; send the file itself";
        return Err(InvalidRequest::new(format!("{at}.file_id"), message));
    }
    match kind {
        "input_image" => image(&format!("{at}.image_url"), &part["image_url"]).map(Some),
        "input_file" => pdf(&format!("{at}.file_data"), &part["file_data"]).map(Some),
        _ => text_part(at, kind, part),
    }
}

fn text_part(at: &str, kind: &str, part: &Value) -> Result<Option<Value>, InvalidRequest> {
    match kind {
        "input_text" | "output_text" | "text" => Ok(text_block(part.get("text"))),
        "refusal" => Ok(text_block(part.get("refusal"))),
        _ => {
            let message = "must be a text, an image or a PDF: Claude reads nothing else";
            Err(InvalidRequest::new(format!("{at}.type"), message))
        }
    }
}
