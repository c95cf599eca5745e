//! Translates tools, and the choice of a tool.

use super::invalid_request::InvalidRequest;
use serde_json::{Value, json};

/// Translates the functions that Claude may call.
///
/// # Errors
/// The field is no list, or a tool in it is no function.
pub fn tools(tools: Option<Value>) -> Result<Option<Value>, InvalidRequest> {
    let tools = match tools {
        None => return Ok(None),
        Some(Value::Array(tools)) => tools,
        Some(_) => return Err(InvalidRequest::new("tools", "must be a list of tools")),
    };
    let mut translated = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        let function = &tool["function"];
        if tool["type"] != "function" || !function["name"].is_string() {
            let message = "must be a function with a name: Claude is given no other tools";
            return Err(InvalidRequest::new(format!("tools[{index}]"), message));
        }
        let schema = match &function["parameters"] {
            Value::Null => json!({ "type": "object", "properties": {} }),
            schema => schema.clone(),
        };
        let mut tool = json!({ "name": function["name"], "input_schema": schema });
        for field in ["description", "strict"] {
            if !function[field].is_null() {
                tool[field] = function[field].clone();
            }
        }
        translated.push(tool);
    }
    Ok((!translated.is_empty()).then_some(Value::Array(translated)))
}

/// Translates the choice of a tool. `parallel`: the field `parallel_tool_calls`.
///
/// # Errors
/// A field has an unknown value.
pub fn tool_choice(
    choice: Option<Value>,
    parallel: Option<Value>,
) -> Result<Option<Value>, InvalidRequest> {
    let one_at_a_time = is_one_at_a_time(parallel)?;
    let choice = choice.map(choice_type).transpose()?;
    let choice = choice.or_else(|| one_at_a_time.then(|| json!({ "type": "auto" })));
    Ok(choice.map(|mut choice| {
        if one_at_a_time && choice["type"] != "none" {
            choice["disable_parallel_tool_use"] = json!(true);
        }
        choice
    }))
}

fn is_one_at_a_time(parallel: Option<Value>) -> Result<bool, InvalidRequest> {
    match parallel {
        None => Ok(false),
        Some(Value::Bool(parallel)) => Ok(!parallel),
        Some(_) => Err(InvalidRequest::new(
            "parallel_tool_calls",
            "must be true or false",
        )),
    }
}

fn choice_type(choice: Value) -> Result<Value, InvalidRequest> {
    match (choice.as_str(), choice["type"].as_str()) {
        (Some("auto"), _) => Ok(json!({ "type": "auto" })),
        (Some("none"), _) => Ok(json!({ "type": "none" })),
        (Some("required"), _) => Ok(json!({ "type": "any" })),
        (None, Some("function")) if choice["function"]["name"].is_string() => {
            Ok(json!({ "type": "tool", "name": choice["function"]["name"] }))
        }
        _ => {
            let message = "must be `auto`, `none`, `required`, or a function by its name";
            Err(InvalidRequest::new("tool_choice", message))
        }
    }
}
