//! Tools, and which of them Claude is to use.

use super::invalid_request::InvalidRequest;
use serde_json::{Value, json};

/// The functions that Claude may call.
pub fn tools(tools: Option<Value>) -> Result<Option<Value>, InvalidRequest> {
    let tools = match tools {
        None => return Ok(None),
        Some(Value::Array(tools)) => tools,
        Some(_) => return Err(InvalidRequest::new("tools", "must be a list of tools")),
    };
    let mut made = Vec::new();
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
        made.push(tool);
    }
    Ok((!made.is_empty()).then_some(Value::Array(made)))
}

/// Whether Claude has to call one, and whether several at once.
pub fn tool_choice(
    choice: Option<Value>,
    parallel: Option<Value>,
) -> Result<Option<Value>, InvalidRequest> {
    let one_at_a_time = match parallel {
        None | Some(Value::Bool(true)) => false,
        Some(Value::Bool(false)) => true,
        Some(_) => {
            return Err(InvalidRequest::new(
                "parallel_tool_calls",
                "must be true or false",
            ));
        }
    };
    let mut made = match choice {
        None if one_at_a_time => json!({ "type": "auto" }),
        None => return Ok(None),
        Some(choice) => match (choice.as_str(), choice["type"].as_str()) {
            (Some("auto"), _) => json!({ "type": "auto" }),
            (Some("none"), _) => return Ok(Some(json!({ "type": "none" }))),
            (Some("required"), _) => json!({ "type": "any" }),
            (None, Some("function")) if choice["function"]["name"].is_string() => {
                json!({ "type": "tool", "name": choice["function"]["name"] })
            }
            _ => {
                let message = "must be `auto`, `none`, `required`, or a function by its name";
                return Err(InvalidRequest::new("tool_choice", message));
            }
        },
    };
    if one_at_a_time {
        made["disable_parallel_tool_use"] = json!(true);
    }
    Ok(Some(made))
}
