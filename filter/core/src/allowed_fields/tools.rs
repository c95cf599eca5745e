//! Tools, the choice of one, and the items that tools leave in a conversation. The type of a tool decides who runs it.

use super::violation::Reason;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// What becomes of a tool or an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on with the fields that the table lists.
    Listed,
    /// It goes on with all fields: the zone lists the tool.
    Free,
    /// It is left out of its list.
    LeftOut,
    /// It is refused, at a place below its own.
    Refused(&'static str, Reason),
}

/// Searches of the web. A server may offer them, and a model may use them or not: without one the answer is as good, or nearly.
const WEB_SEARCH: &str = "web_search";

/// Beginnings of the types of tools that providers run, and of the types or names of the items that they make.
const FAMILIES: [&str; 13] = [
    "advisor",
    "apply_patch",
    "code_execution",
    "code_interpreter",
    "computer",
    "file_search",
    "image_generation",
    "local_shell",
    "mcp",
    "shell",
    "tool_search_tool",
    "web_fetch",
    WEB_SEARCH,
];

/// What decides about a tool or an item. A field that is repeated is an error: two servers might read two different ones.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    role: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    content: Option<&'a RawValue>,
    encrypted_content: Option<&'a RawValue>,
}

impl<'a> Head<'a> {
    fn of(raw: &'a RawValue) -> Result<Self, Verdict> {
        serde_json::from_str(raw.get()).map_err(|_| Verdict::Refused("", Reason::Unlisted))
    }
}

/// A tool, or the choice of one. `types`: the tools that the caller runs; `allowed`: those that the zone lists.
pub fn tool(raw: &RawValue, types: &[&str], allowed: &BTreeSet<String>) -> Verdict {
    let kind = match Head::of(raw) {
        Ok(head) => head.kind.unwrap_or_default(),
        Err(refused) => return refused,
    };
    match kind.as_ref() {
        kind if allowed.contains(kind) => Verdict::Free,
        kind if types.contains(&kind) => Verdict::Listed,
        "" => Verdict::Refused(".type", Reason::Unlisted),
        kind => Verdict::Refused(".type", Reason::tool(kind)),
    }
}

/// A tool that the model may use or not. A search of the web that is not listed is left out.
pub fn offer(raw: &RawValue, types: &[&str], allowed: &BTreeSet<String>) -> Verdict {
    match tool(raw, types, allowed) {
        Verdict::Refused(_, Reason::Tool(kind)) if kind.starts_with(WEB_SEARCH) => Verdict::LeftOut,
        verdict => verdict,
    }
}

/// An item of a conversation.
pub fn item(raw: &RawValue, types: &[&str], allowed: &BTreeSet<String>) -> Verdict {
    let head = match Head::of(raw) {
        Ok(head) => head,
        Err(refused) => return refused,
    };
    let kind = head.kind.as_deref().unwrap_or_default();
    let is_of = |family: &&&str| is_of(kind, head.name.as_deref(), family);
    let mut families = FAMILIES.iter().filter(is_of).peekable();
    let is_of_a_tool = families.peek().is_some();
    if families.any(|family| allowed.iter().any(|tool| tool.starts_with(family))) {
        return Verdict::Free;
    }
    let has = |content: Option<&RawValue>| {
        content.is_some_and(|raw| raw.get().contains(char::is_alphanumeric))
    };
    let is_whole = has(head.content) || has(head.encrypted_content);
    match kind {
        "" if head.role.is_none() => Verdict::Refused("", Reason::Kept),
        "reasoning" if head.id.is_some() && !is_whole => Verdict::Refused(".id", Reason::Kept),
        kind if kind.is_empty() || types.contains(&kind) => Verdict::Listed,
        kind if is_of_a_tool => Verdict::Refused(".type", Reason::tool(kind)),
        kind => Verdict::Refused(".type", Reason::value(kind)),
    }
}

/// Whether an item is of a family of tools. Anthropic's calls have the tool in their name, and the code execution has three tools.
fn is_of(kind: &str, name: Option<&str>, family: &str) -> bool {
    let made_by = match kind {
        "server_tool_use" => name.unwrap_or_default(),
        kind => kind,
    };
    let made_by = made_by
        .strip_prefix("bash_")
        .or(made_by.strip_prefix("text_editor_"))
        .unwrap_or(made_by);
    made_by.starts_with(family)
}
