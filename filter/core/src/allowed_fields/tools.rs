//! Tools, the choice of one, and the items that tools leave in a conversation. The type of a tool decides who runs it.

use super::{Reason, Walk};
use crate::edit::{offset, removals};
use crate::excerpt::{MAX_VALUE, excerpt};
use serde::Deserialize;
use serde::de::Error;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::ops::Range;

/// A tool in a list.
#[derive(Debug)]
pub(super) struct Offer {
    /// Its bytes in the body.
    at: Range<usize>,
    goes_on: bool,
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

impl Walk<'_> {
    /// A tool, or the choice of one.
    pub(super) fn tool<E: Error>(&mut self, raw: &RawValue, types: &[&str]) -> Result<(), E> {
        let kind = self.head(raw)?.kind.unwrap_or_default();
        if self.allowance.tools.contains(kind.as_ref()) {
            return self.walk_freely(raw);
        }
        match (types.contains(&kind.as_ref()), kind.as_ref()) {
            (true, _) => self.walk(raw),
            (false, "") => Err(self.refuse(".type", Reason::Unlisted)),
            (false, kind) => Err(self.refuse(".type", tool(kind))),
        }
    }

    /// A tool that the model may use or not. A search of the web that is not listed is left out.
    pub(super) fn offer<E: Error>(&mut self, raw: &RawValue, types: &[&str]) -> Result<(), E> {
        let kind = self.head(raw)?.kind.unwrap_or_default();
        let goes_on = !kind.starts_with(WEB_SEARCH) || self.allowance.tools.contains(kind.as_ref());
        if goes_on {
            self.tool(raw, types)?;
        }
        let at = offset(self.body, raw.get());
        self.tools.push(Offer { at, goes_on });
        Ok(())
    }

    /// An item of a conversation.
    pub(super) fn item<E: Error>(&mut self, raw: &RawValue, types: &[&str]) -> Result<(), E> {
        let head = self.head(raw)?;
        let kind = head.kind.as_deref().unwrap_or_default();
        if self.is_of_listed_tool(kind, head.name.as_deref()) {
            return self.walk_freely(raw);
        }
        let has = |content: Option<&RawValue>| {
            content.is_some_and(|raw| raw.get().contains(char::is_alphanumeric))
        };
        let is_whole = has(head.content) || has(head.encrypted_content);
        match kind {
            "" if head.role.is_none() => Err(self.refuse("", Reason::Kept)),
            "reasoning" if head.id.is_some() && !is_whole => Err(self.refuse(".id", Reason::Kept)),
            kind if kind.is_empty() || types.contains(&kind) => self.walk(raw),
            kind if FAMILIES
                .iter()
                .any(|family| is_of(kind, head.name.as_deref(), family)) =>
            {
                Err(self.refuse(".type", tool(kind)))
            }
            kind => Err(self.refuse(
                ".type",
                Reason::Value(excerpt(kind, MAX_VALUE).into_owned()),
            )),
        }
    }

    /// The end of a list: the tools that do not go on are left out, or the list itself is if none does.
    pub(super) fn leave_out_tools(&mut self) {
        let offers = std::mem::take(&mut self.tools);
        let Some(last) = offers.last() else { return };
        if !offers.iter().any(|offer| offer.goes_on) {
            self.has_lost_tools = true;
            return;
        }
        let parts: Vec<_> = offers
            .iter()
            .map(|offer| (offer.at.start, offer.goes_on))
            .collect();
        self.edits.extend(removals(self.body, &parts, last.at.end));
    }

    fn head<'r, E: Error>(&mut self, raw: &'r RawValue) -> Result<Head<'r>, E> {
        serde_json::from_str(raw.get()).map_err(|_| self.refuse("", Reason::Unlisted))
    }

    /// Whether an item is what a listed tool has made.
    fn is_of_listed_tool(&self, kind: &str, name: Option<&str>) -> bool {
        let mut tools = self.allowance.tools.iter();
        tools.any(|tool| {
            let mut families = FAMILIES.iter();
            families.any(|family| tool.starts_with(family) && is_of(kind, name, family))
        })
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

fn tool(kind: &str) -> Reason {
    Reason::Tool(excerpt(kind, MAX_VALUE).into_owned())
}
