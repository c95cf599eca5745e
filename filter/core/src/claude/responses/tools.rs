//! Translates tools: functions, tools that take free text (`custom`), and namespaces of both.

use super::super::invalid_request::InvalidRequest;
use super::super::tools::{function_tool, list};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The caller's names of the tools that have others for Claude, or other arguments.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolNames(BTreeMap<String, ToolName>);

/// A caller's name of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolName {
    /// The name in its namespace.
    pub name: String,
    pub namespace: Option<String>,
    /// The tool takes free text, which is the argument [`CUSTOM_INPUT`] for Claude.
    pub is_custom: bool,
}

/// The argument of a tool that takes free text.
pub const CUSTOM_INPUT: &str = "input";

/// Searches of the web, which a server may offer and a model may use or not. Claude is not given them: it would have the provider
/// run them.
const WEB_SEARCH: &str = "web_search";

/// Claude's name of a tool.
pub fn flat_name(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}__{name}"),
        None => name.to_owned(),
    }
}

impl ToolNames {
    /// The caller's name of a tool that Claude calls.
    pub fn callers(&self, name: &str) -> ToolName {
        let plain = || ToolName {
            name: name.to_owned(),
            namespace: None,
            is_custom: false,
        };
        self.0.get(name).cloned().unwrap_or_else(plain)
    }
}

/// Translates the tools of a request.
///
/// # Errors
/// The field is no list, or has a tool that only OpenAI can run.
pub fn tools(tools: Option<Value>) -> Result<(Vec<Value>, ToolNames), InvalidRequest> {
    let mut translated = Tools::default();
    for (index, tool) in list(tools)?.into_iter().enumerate() {
        translated.add(&format!("tools[{index}]"), None, tool)?;
    }
    Ok((translated.tools, translated.names))
}

#[derive(Default)]
struct Tools {
    tools: Vec<Value>,
    names: ToolNames,
}

impl Tools {
    fn add(
        &mut self,
        at: &str,
        namespace: Option<&str>,
        mut tool: Value,
    ) -> Result<(), InvalidRequest> {
        let (kind, name) = (tool["type"].take(), tool["name"].take());
        match (kind.as_str(), name.as_str()) {
            (Some(kind @ ("function" | "custom")), Some(name)) => {
                let is_custom = kind == "custom";
                let flat = flat_name(namespace, name);
                if is_custom || namespace.is_some() {
                    let name = ToolName {
                        name: name.to_owned(),
                        namespace: namespace.map(str::to_owned),
                        is_custom,
                    };
                    self.names.0.insert(flat.clone(), name);
                }
                let function = if is_custom { custom(&tool) } else { tool };
                self.tools.push(function_tool(json!(flat), function));
                Ok(())
            }
            (Some("namespace"), Some(name)) if namespace.is_none() => {
                let Value::Array(tools) = tool["tools"].take() else {
                    return Err(InvalidRequest::new(
                        format!("{at}.tools"),
                        "must be a list of tools",
                    ));
                };
                for (index, tool) in tools.into_iter().enumerate() {
                    self.add(&format!("{at}.tools[{index}]"), Some(name), tool)?;
                }
                Ok(())
            }
            (Some(kind), _) if kind.starts_with(WEB_SEARCH) => Ok(()),
            _ => {
                let message = "must be `function` or `custom`, with a name: Claude is given tools that the caller runs";
                Err(InvalidRequest::new(format!("{at}.type"), message))
            }
        }
    }
}

/// A tool that takes free text, as a function. Claude knows no grammars: it is told the grammar in words.
fn custom(tool: &Value) -> Value {
    let mut description = tool["description"].as_str().unwrap_or_default().to_owned();
    let definition = tool["format"]["definition"].as_str();
    if let Some(definition) = definition {
        let syntax = tool["format"]["syntax"].as_str().unwrap_or_default();
        description +=
            &format!("\n\n`{CUSTOM_INPUT}` follows this grammar ({syntax}):\n{definition}");
    }
    json!({
        "description": description,
        "parameters": {
            "type": "object",
            "properties": { CUSTOM_INPUT: { "type": "string" } },
            "required": [CUSTOM_INPUT],
            "additionalProperties": false,
        },
    })
}
