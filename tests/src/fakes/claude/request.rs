//! A request of the Messages API: its form, what the API would refuse of it, and what a fake answers to it.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The beta that `context_management` needs.
pub(super) const CONTEXT_MANAGEMENT: &str = "context-management-2025-06-27";

/// What callers say who want tools to be called several times, one after the other, and how often.
const IN_STEPS: (&str, usize) = ("in five steps", 5);

/// Tools of Codex, Claude Code and opencode that run a command.
const SHELLS: [&str; 3] = ["exec_command", "Bash", "bash"];

/// Signatures of thinking have more characters.
const SIGNATURE: usize = 100;

/// What stands around an answer that a caller prescribes.
const ANSWER: [&str; 2] = ["<answer>", "</answer>"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    pub(super) model: Option<String>,
    pub(super) anthropic_version: Option<String>,
    max_tokens: u64,
    messages: Vec<Message>,
    system: Option<Content>,
    pub(super) stream: Option<bool>,
    #[serde(default)]
    stop_sequences: Vec<String>,
    #[serde(default)]
    tools: Vec<Tool>,
    tool_choice: Option<Choice>,
    output_config: Option<OutputConfig>,
    pub(super) inference_geo: Option<String>,
    /// Of Bedrock alone: the names that are a header elsewhere.
    #[serde(default)]
    pub(super) anthropic_beta: Vec<String>,
    context_management: Option<Value>,
    #[serde(rename = "metadata")]
    _metadata: Option<Value>,
    #[serde(rename = "thinking")]
    _thinking: Option<Value>,
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
    System,
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
        #[serde(rename = "cache_control")]
        _cache_control: Option<Value>,
    },
    Thinking {
        #[serde(rename = "thinking")]
        _thinking: String,
        signature: String,
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
        #[serde(rename = "cache_control")]
        _cache_control: Option<Value>,
    },
    ToolResult {
        tool_use_id: String,
        content: Option<Content>,
        #[serde(rename = "is_error")]
        _is_error: Option<bool>,
        #[serde(rename = "cache_control")]
        _cache_control: Option<Value>,
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
    #[serde(rename = "cache_control")]
    _cache_control: Option<Value>,
    #[serde(default)]
    defer_loading: bool,
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
    format: Option<Format>,
    #[serde(rename = "effort")]
    _effort: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Format {
    JsonSchema { schema: Map<String, Value> },
}

impl Request {
    /// What the API would say against it. `betas`: those that the host knows, of the request's.
    pub(super) fn check(&self, betas: &[&str]) -> Result<(), String> {
        if self.context_management.is_some() && !betas.contains(&CONTEXT_MANAGEMENT) {
            return Err("context_management: Extra inputs are not permitted".into());
        }
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
        for block in self.system() {
            match block {
                Block::Text { text, .. } => not_blank("system", text)?,
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
            if message.role == Role::System {
                message.check(&at)?;
                continue;
            }
            if message.role == before && index > 0 {
                return Err(format!("{at}: two turns of one role"));
            }
            before = message.role;
            let results = message.check(&at)?;
            if results != open {
                return Err(format!(
                    "{at}: `tool_use` ids were found without `tool_result` blocks immediately after: {open:?}, {results:?}"
                ));
            }
            open = message.calls();
        }
        let last = self.messages.last();
        let last = last.ok_or("messages: at least one message is required")?;
        if last.role == Role::Assistant {
            return Err("This model does not support assistant message prefill. The conversation must end with a user message.".into());
        }
        Ok(())
    }

    /// Whether tools are to be loaded when they are searched for.
    pub(super) fn defers_tools(&self) -> bool {
        self.tools.iter().any(|tool| tool.defer_loading)
    }

    fn system(&self) -> &[Block] {
        self.system.as_ref().map_or(&[], Content::blocks)
    }

    /// The results that it has of calls.
    fn results(&self) -> usize {
        let blocks = self.messages.iter().flat_map(Message::blocks);
        blocks
            .filter(|block| matches!(block, Block::ToolResult { .. }))
            .count()
    }

    /// The call of a caller that wants something done in several steps, one call a step: of a shell, if it has one.
    fn next_step(&self) -> Option<Value> {
        let mut texts = self.messages.iter().flat_map(Message::texts);
        let wanted = texts.any(|text| text.contains(IN_STEPS.0));
        let done = self.results();
        if !wanted || done >= IN_STEPS.1 {
            return None;
        }
        let shell = |tool: &&Tool| SHELLS.contains(&tool.name.as_str());
        let tool = self.tools.iter().find(shell).or(self.tools.first())?;
        let mut input = filled(&tool.input_schema);
        if shell(&tool) {
            let required = tool.input_schema["required"]
                .as_array()
                .into_iter()
                .flatten();
            let commands = required.filter_map(Value::as_str);
            input = commands
                .map(|name| {
                    (
                        name.to_owned(),
                        json!(format!("echo step {done} | tee -a steps.txt")),
                    )
                })
                .collect::<Map<_, _>>()
                .into();
        }
        let id = format!("toolu_step_{done}");
        Some(json!({ "type": "tool_use", "id": id, "name": tool.name, "input": input }))
    }

    /// The calls that Claude makes where it is given tools and no results.
    pub(super) fn calls(&self) -> Vec<Value> {
        if let Some(call) = self.next_step() {
            return vec![call];
        }
        let has_results = self.results() > 0;
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

    /// The last answer that the caller prescribes.
    fn prescribed(&self) -> Option<&str> {
        let texts: Vec<&str> = self.messages.iter().flat_map(Message::texts).collect();
        let (_, text) = texts
            .into_iter()
            .rev()
            .find_map(|text| text.rsplit_once(ANSWER[0]))?;
        Some(text.split_once(ANSWER[1])?.0)
    }

    /// What the caller prescribes; or tokens by number; or what the schema wants; and what was seen of the request.
    pub(super) fn text(&self, name: &str, tokens: usize) -> String {
        if let Some(OutputConfig {
            format: Some(Format::JsonSchema { schema }),
            ..
        }) = &self.output_config
        {
            return filled(&Value::Object(schema.clone())).to_string();
        }
        if let Some(text) = self.prescribed() {
            return text.to_owned();
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
                        ..
                    } => {
                        let content: Vec<&str> = content.iter().flat_map(Content::texts).collect();
                        seen.push(format!("{tool_use_id}={}", content.concat()));
                    }
                    Block::Text { .. } | Block::ToolUse { .. } | Block::Thinking { .. } => {}
                }
            }
        }
        for block in self.system() {
            seen.push(format!("system {}", block.text()));
        }
        let tokens: Vec<String> = (0..tokens).map(|index| format!("token{index}")).collect();
        format!("{name} {} [{}]", tokens.join(" "), seen.join("; "))
    }
}

impl Content {
    fn blocks(&self) -> &[Block] {
        match self {
            Self::Text(_) => &[],
            Self::Blocks(blocks) => blocks,
        }
    }

    fn texts(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => vec![text],
            Self::Blocks(blocks) => blocks.iter().map(Block::text).collect(),
        }
    }
}

impl Message {
    fn blocks(&self) -> &[Block] {
        self.content.blocks()
    }

    fn texts(&self) -> Vec<&str> {
        self.content.texts()
    }

    /// Checks its blocks, and gives the ids of the calls whose results it has.
    fn check(&self, at: &str) -> Result<Vec<&String>, String> {
        match &self.content {
            Content::Text(text) => not_blank(at, text)?,
            Content::Blocks(blocks) if blocks.is_empty() => return Err(format!("{at}: is empty")),
            Content::Blocks(_) => {}
        }
        let blocks = self.blocks().iter();
        let results = blocks.filter_map(|block| self.check_block(at, block).transpose());
        results.collect()
    }

    /// Checks a block, and gives the id of the call whose result it is.
    fn check_block<'m>(&self, at: &str, block: &'m Block) -> Result<Option<&'m String>, String> {
        match (block, self.role) {
            (Block::Text { text, .. }, _) => not_blank(at, text)?,
            (Block::Image { source }, Role::User) => source.check(at, "image/")?,
            (Block::Document { source }, Role::User) => source.check(at, "application/pdf")?,
            (Block::ToolResult { tool_use_id, .. }, Role::User) => return Ok(Some(tool_use_id)),
            (Block::ToolUse { id, .. }, Role::Assistant) => {
                let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
                if !id.chars().all(is_allowed) {
                    return Err(format!(
                        "{at}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
                    ));
                }
            }
            (Block::Thinking { signature, .. }, Role::Assistant) => {
                if signature.len() < SIGNATURE {
                    return Err(format!("{at}: Invalid `signature` in `thinking` block"));
                }
            }
            _ => return Err(format!("{at}: a block that this role does not have")),
        }
        Ok(None)
    }

    /// The ids of its calls.
    fn calls(&self) -> Vec<&String> {
        let calls = self.blocks().iter().filter_map(|block| match block {
            Block::ToolUse { id, .. } => Some(id),
            _ => None,
        });
        calls.collect()
    }
}

impl Block {
    fn text(&self) -> &str {
        match self {
            Self::Text { text, .. } => text,
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
