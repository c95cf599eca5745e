//! The format of the answer's text.

use super::invalid_request::InvalidRequest;
use serde_json::{Map, Value, json};

/// Stands for OpenAI's `json_object`, which Claude does not have: its schemas name every field. It is an instruction and no promise.
const JSON_OBJECT: &str =
    "Answer with a single JSON object and nothing else: no text before or after it, no code fence.";

/// The format of the answer's text.
#[derive(Clone, Debug, PartialEq)]
pub enum OutputFormat {
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON by this schema.
    JsonSchema(Value),
}

impl OutputFormat {
    /// Reads a format. `at`: its place; `schema`: the place of a schema in it, as a JSON pointer.
    ///
    /// # Errors
    /// The format is unknown, or lacks its schema.
    pub fn read(at: &str, format: Option<Value>, schema: &str) -> Result<Self, InvalidRequest> {
        let Some(format) = format else {
            return Ok(Self::Text);
        };
        match format["type"].as_str() {
            Some("text") => Ok(Self::Text),
            Some("json_object") => Ok(Self::JsonObject),
            Some("json_schema") => match format.pointer(schema) {
                Some(schema @ Value::Object(_)) => Ok(Self::JsonSchema(schema.clone())),
                _ => {
                    let at = format!("{at}{}", schema.replace('/', "."));
                    Err(InvalidRequest::new(at, "must be a JSON schema"))
                }
            },
            _ => Err(InvalidRequest::new(
                format!("{at}.type"),
                "must be `text`, `json_object` or `json_schema`",
            )),
        }
    }

    /// Asks for the format. `system`: the system prompt; `body`: the body for the Messages API.
    pub fn add(self, system: &mut Vec<Value>, body: &mut Map<String, Value>) {
        match self {
            Self::Text => {}
            Self::JsonObject => system.push(json!({ "type": "text", "text": JSON_OBJECT })),
            Self::JsonSchema(schema) => {
                let format = json!({ "type": "json_schema", "schema": schema });
                body.insert("output_config".into(), json!({ "format": format }));
            }
        }
    }
}
