//! Translates tools, and the choice of a tool.

use super::invalid_request::InvalidRequest;
use serde_json::{Map, Value, json};

/// Translates the functions that Claude may call.
///
/// # Errors
/// The field is no list, or a tool in it is no function.
pub fn tools(tools: Option<Value>) -> Result<Vec<Value>, InvalidRequest> {
    let mut translated = Vec::new();
    for (index, mut tool) in list(tools)?.into_iter().enumerate() {
        let mut function = tool["function"].take();
        if tool["type"] != "function" || !function["name"].is_string() {
            let message = "must be a function with a name: Claude is given no other tools";
            return Err(InvalidRequest::new(format!("tools[{index}]"), message));
        }
        let name = function["name"].take();
        translated.push(function_tool(name, function));
    }
    Ok(translated)
}

/// The tools in a field.
pub fn list(tools: Option<Value>) -> Result<Vec<Value>, InvalidRequest> {
    match tools {
        None => Ok(Vec::new()),
        Some(Value::Array(tools)) => Ok(tools),
        Some(_) => Err(InvalidRequest::new("tools", "must be a list of tools")),
    }
}

/// A tool by its name, and its function's description, parameters and strictness.
pub fn function_tool(name: Value, mut function: Value) -> Value {
    let schema = match function["parameters"].take() {
        Value::Null => json!({ "type": "object", "properties": {} }),
        schema => schema,
    };
    let mut tool = json!({ "name": name, "input_schema": schema });
    for field in ["description", "strict"] {
        let value = function[field].take();
        if !value.is_null() {
            tool[field] = value;
        }
    }
    tool
}

/// Puts tools into the body for the Messages API, with their choice, which means nothing without them.
pub fn add_tools(tools: Vec<Value>, choice: Option<Value>, body: &mut Map<String, Value>) {
    if tools.is_empty() {
        return;
    }
    body.insert("tools".into(), Value::Array(tools));
    if let Some(choice) = choice {
        body.insert("tool_choice".into(), choice);
    }
}

/// Translates the choice of a tool. `name`: the place of a function's name in it, as a JSON pointer; `parallel`: whether Claude may
/// call several tools at once.
///
/// # Errors
/// The choice is unknown.
pub fn tool_choice(
    choice: Option<Value>,
    name: &str,
    parallel: bool,
) -> Result<Option<Value>, InvalidRequest> {
    let choice = choice
        .map(|choice| choice_type(&choice, name))
        .transpose()?;
    let choice = choice.or_else(|| (!parallel).then(|| json!({ "type": "auto" })));
    Ok(choice.map(|mut choice| {
        if !parallel && choice["type"] != "none" {
            choice["disable_parallel_tool_use"] = json!(true);
        }
        choice
    }))
}

fn choice_type(choice: &Value, name: &str) -> Result<Value, InvalidRequest> {
    match (choice.as_str(), choice["type"].as_str()) {
        (Some("auto"), _) => Ok(json!({ "type": "auto" })),
        (Some("none"), _) => Ok(json!({ "type": "none" })),
        (Some("required"), _) => Ok(json!({ "type": "any" })),
        (None, Some("function" | "custom"))
            if choice.pointer(name).is_some_and(Value::is_string) =>
        {
            Ok(json!({ "type": "tool", "name": choice.pointer(name) }))
        }
        _ => {
            let message = "must be `auto`, `none`, `required`, or a function by its name";
            Err(InvalidRequest::new("tool_choice", message))
        }
    }
}
