//! Translates and checks requests.

use super::super::invalid_request::InvalidRequest;
use super::super::messages::text_block;
use super::super::output_format::OutputFormat;
use super::super::read::max_tree;
use super::super::request::{HINTS, flag, flag_or, max_tokens};
use super::super::tools::{add_tools, tool_choice};
use super::input::turns;
use super::tools::tools;
use super::{Echo, Request};
use meridian_policy::egress_policy::Claude;
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// Fields that are dropped, besides those of [`HINTS`].
const OWN_HINTS: [&str; 6] = [
    "client_metadata",
    // It counts calls of tools that OpenAI runs.
    "max_tool_calls",
    // Claude thinks as much as it finds useful.
    "reasoning",
    "stream_options",
    "top_k",
    // A prompt that is too long gets an error in either case.
    "truncation",
];

/// Fields about state that another server has, each with what to do.
const STATE: [(&str, &str); 3] = [
    (
        "previous_response_id",
        "names a response that another server keeps; send the whole conversation as `input`",
    ),
    (
        "conversation",
        "names a conversation that another server keeps; send it as `input`",
    ),
    (
        "prompt",
        "names a prompt that OpenAI keeps; send it as `instructions`",
    ),
];

/// Translates a body of `/v1/responses`.
///
/// # Errors
/// The body is invalid, or has a field that Claude does not support.
pub fn request(mut fields: Map<String, Value>, claude: &Claude) -> Result<Request, InvalidRequest> {
    fields.retain(|_, value| !value.is_null());
    fields.remove("model");
    for (field, message) in STATE {
        if fields.contains_key(field) {
            return Err(InvalidRequest::new(field, message));
        }
    }
    let mut body = Map::new();
    let limit = max_tokens(&mut fields, &["max_output_tokens"])?;
    let limit = limit.unwrap_or(claude.max_tokens.into());
    body.insert("max_tokens".into(), json!(limit));
    let stream = flag(&mut fields, "stream")?;
    if stream {
        body.insert("stream".into(), json!(true));
    }
    let turns = turns(fields.remove("input"), max_tree(claude))?;
    let mut system = instructions(fields.remove("instructions"))?;
    system.extend(turns.system);
    text_format(fields.remove("text"))?.add(&mut system, &mut body);
    if !system.is_empty() {
        body.insert("system".into(), json!(system));
    }
    body.insert("messages".into(), json!(turns.messages));
    let (tools, names) = tools(fields.remove("tools"))?;
    let parallel_tool_calls = flag_or(&mut fields, "parallel_tool_calls", true)?;
    let choice = fields.remove("tool_choice");
    let echo = Echo {
        tools: names,
        tool_choice: choice.clone().unwrap_or_else(|| json!("auto")),
        parallel_tool_calls,
    };
    let choice = tool_choice(choice, "/name", parallel_tool_calls)?;
    if tools.is_empty()
        && choice
            .as_ref()
            .is_some_and(|choice| choice["type"] == "any")
    {
        let message = "must not be `required` without a tool that Claude is given";
        return Err(InvalidRequest::new("tool_choice", message));
    }
    add_tools(tools, choice, &mut body);
    check_remaining(fields)?;
    Ok(Request {
        body,
        stream,
        echo: Rc::new(echo),
    })
}

fn instructions(instructions: Option<Value>) -> Result<Vec<Value>, InvalidRequest> {
    match instructions {
        None => Ok(Vec::new()),
        Some(text @ Value::String(_)) => Ok(text_block(Some(&text)).into_iter().collect()),
        Some(_) => Err(InvalidRequest::new("instructions", "must be a text")),
    }
}

fn text_format(text: Option<Value>) -> Result<OutputFormat, InvalidRequest> {
    match text {
        None => Ok(OutputFormat::Text),
        Some(Value::Object(mut text)) => {
            let format = text.remove("format").filter(|format| !format.is_null());
            OutputFormat::read("text.format", format, "/schema")
        }
        Some(_) => Err(InvalidRequest::new("text", "must be an object")),
    }
}

/// Checks the remaining fields: hints and default values are dropped.
///
/// # Errors
/// Claude does not support a field.
fn check_remaining(fields: Map<String, Value>) -> Result<(), InvalidRequest> {
    for (name, value) in fields {
        let has_no_effect = match name.as_str() {
            "background" => value == false,
            "top_logprobs" => value == 0,
            // The others add what tools of OpenAI have found, or reasoning for OpenAI alone.
            "include" => value
                .as_array()
                .is_some_and(|all| all.iter().all(|one| one != "message.output_text.logprobs")),
            name => HINTS.contains(&name) || OWN_HINTS.contains(&name),
        };
        if !has_no_effect {
            let message = "is not something that Claude can do; leave it out";
            return Err(InvalidRequest::new(name, message));
        }
    }
    Ok(())
}
