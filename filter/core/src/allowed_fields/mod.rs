//! The fields of a request that a server may be given. A provider runs tools of its own and fetches what a request names, so it can
//! send a prompt, or what it found, to third places. One [table] for each API lists the fields that cannot: everything else is refused
//! by name.
//!
//! The body is read as it stands, without a tree of it: a field that is repeated is checked each time, whichever one the server reads.

mod table;
mod tools;

use crate::edit::{Edit, offset, removals};
use crate::excerpt::{MAX_VALUE, excerpt};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::fmt::{Arguments, Display, Formatter, Result as Formatted, Write as _};
use table::{Rule, Table, table};

/// What a server may be given.
#[derive(Clone, Copy, Debug)]
pub struct Allowance<'a> {
    /// Whether fields and tools that no table lists are refused.
    pub listed_only: bool,
    /// Types of tools that the provider may run all the same.
    pub tools: &'a BTreeSet<String>,
    /// Whether the server may fetch content that the request names by URL.
    pub remote_content: bool,
}

/// A field that the server may not be given. The text says what to do, without a full stop. It repeats no more than the beginning of
/// what the caller sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violation {
    /// The field, as a path into the body: `tools[2].type`. Empty for the body itself. Of a long path the beginning.
    pub field: String,
    /// Why the server may not be given it.
    pub reason: Reason,
}

/// Why a server may not be given a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reason {
    /// No table lists the field.
    #[default]
    Unlisted,
    /// The field names content at another place.
    Remote,
    /// A tool of this type, or what such a tool has made.
    Tool(String),
    /// The table lists the field, and not this value.
    Value(String),
    /// The field names what the provider keeps.
    Kept,
    /// The gateway cannot read the body from here on.
    Unreadable,
}

/// Checks a body of the API on a path, and returns what is to be changed in it. The path has no query.
///
/// # Errors
/// The first field that is not allowed, or the place where the body is no JSON.
pub fn check(path: &str, body: &[u8], allowance: Allowance<'_>) -> Result<Vec<Edit>, Violation> {
    static NO_ROWS: Table = Table::new();
    let table = match table(path) {
        Some(table) => table,
        None if allowance.listed_only => return Err(Violation::default()),
        None => &NO_ROWS,
    };
    let mut walk = Walk {
        table,
        allowance,
        body,
        pattern: String::new(),
        place: String::new(),
        tools: Vec::new(),
        has_lost_tools: false,
        has_store: false,
        edits: Vec::new(),
        found: None,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = deserializer
        .deserialize_any(At(&mut walk))
        .and_then(|()| deserializer.end());
    match (read, walk.found.take()) {
        (_, Some(violation)) => Err(violation),
        (Ok(()), None) => Ok(walk.edits()),
        // It may be read by a server that understands more than JSON.
        (Err(_), None) => Err(Violation {
            field: excerpt(&walk.place, MAX_VALUE).into_owned(),
            reason: Reason::Unreadable,
        }),
    }
}

impl Violation {
    /// A short, stable name of the kind of violation.
    pub fn code(&self) -> &'static str {
        match self.reason {
            Reason::Remote => "remote_content",
            _ => "field_not_allowed",
        }
    }
}

impl Display for Violation {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Formatted {
        match self.field.as_str() {
            "" => formatter.write_str("the body ")?,
            field => write!(formatter, "`{field}` ")?,
        }
        match &self.reason {
            Reason::Unlisted => formatter.write_str(
                "could have the server send the request to third places, or is not known to this gateway; leave it out",
            ),
            Reason::Remote => {
                let form = match self.field.ends_with("source.url") {
                    true => "with `type: base64`",
                    false => "as a `data:` URL",
                };
                write!(
                    formatter,
                    "names content at another place, which the server would fetch; send the content itself, {form}"
                )
            }
            Reason::Tool(kind) => write!(
                formatter,
                "is `{kind}`: the provider would run the tool, or the gateway does not know it; leave the tool or item out, or list \
                 the tool in `zones.<zone>.fallback_tools` of the fleet file"
            ),
            Reason::Value(value) => write!(
                formatter,
                "is `{value}`, which could have the server send or keep the request, or is not known to this gateway; use another value, \
                 or leave it out"
            ),
            Reason::Kept => formatter.write_str(
                "could name what the provider keeps; send the content itself: an item needs its `type` or `role`, and reasoning with an \
                 `id` its `encrypted_content` or `content`",
            ),
            Reason::Unreadable => {
                formatter.write_str("is no JSON that the gateway can read; correct it, or nest it less")
            }
        }
    }
}

/// The way through a body.
struct Walk<'w> {
    table: &'static Table,
    allowance: Allowance<'w>,
    body: &'w [u8],
    /// The present place, as the table writes it: `tools[].type`.
    pattern: String,
    /// The present place: `tools[2].type`.
    place: String,
    /// The tools of the present list: where each begins and ends in the body, and whether it goes on.
    tools: Vec<tools::Offer>,
    /// A list of tools has lost all of them.
    has_lost_tools: bool,
    has_store: bool,
    edits: Vec<Edit>,
    found: Option<Violation>,
}

/// A value that is not an object or a list.
#[derive(Clone, Copy)]
enum Scalar<'s> {
    Null,
    False,
    Text(&'s str),
    Other,
}

/// Keys under which APIs and servers take images, audio, videos and files. A text there is the content or its URL.
const CONTENT_KEYS: [&str; 8] = [
    "audio",
    "audio_url",
    "file_data",
    "file_url",
    "image",
    "image_url",
    "video",
    "video_url",
];

/// Fields that mean nothing without tools. Some servers refuse them then.
const TOOL_FIELDS: [&str; 3] = ["parallel_tool_calls", "tool_choice", "tools"];

impl Walk<'_> {
    fn rule(&self) -> Option<Rule> {
        self.table.get(self.pattern.as_str()).copied()
    }

    /// Whether the table lists the present place, or one below it.
    fn is_listed(&self) -> bool {
        let pattern = self.pattern.as_str();
        let mut from = self.table.range(pattern..).map(|(listed, _)| *listed);
        // Of the places that begin with these letters, others may come first: `input_file` sorts before `input.`.
        from.by_ref()
            .take_while(|listed| listed.starts_with(pattern))
            .any(|listed| {
                matches!(
                    listed.as_bytes().get(pattern.len()),
                    None | Some(b'.' | b'[')
                )
            })
    }

    /// Whether a text at the present place is content, or names it: wherever a server may look for it, and where the table says so.
    fn is_content(&self) -> bool {
        let mut steps = self.pattern.rsplit('.');
        let mut step = || steps.next().unwrap_or_default().trim_end_matches("[]");
        let by_key = match step() {
            "url" => Some(step()).is_some_and(|key| key == "source" || CONTENT_KEYS.contains(&key)),
            key => CONTENT_KEYS.contains(&key),
        };
        by_key || self.rule() == Some(Rule::Inline)
    }

    fn refuse<E: Error>(&mut self, below: &str, reason: Reason) -> E {
        self.place.push_str(below);
        self.found = Some(Violation {
            field: excerpt(&self.place, MAX_VALUE).into_owned(),
            reason,
        });
        E::custom("a field is not allowed")
    }

    fn scalar<E: Error>(&mut self, value: Scalar<'_>) -> Result<(), E> {
        let Allowance {
            listed_only,
            tools,
            remote_content,
        } = self.allowance;
        let excerpt = |text| excerpt(text, MAX_VALUE).into_owned();
        let refused = match (self.rule(), value) {
            (_, Scalar::Null) if !self.pattern.is_empty() => None,
            (_, Scalar::Text(text)) if !remote_content && self.is_content() && !is_inline(text) => {
                Some(Reason::Remote)
            }
            _ if !listed_only => None,
            (Some(Rule::Off), Scalar::False) => None,
            (Some(Rule::OneOf(known)), Scalar::Text(text)) => {
                (!known.contains(&text)).then(|| Reason::Value(excerpt(text)))
            }
            (Some(Rule::Caller(known)), Scalar::Text(text)) => {
                let is_known = known.contains(&text) || tools.contains(text);
                (!is_known).then(|| Reason::Tool(excerpt(text)))
            }
            (Some(Rule::Any | Rule::Scalar | Rule::Inline), _) => None,
            (Some(Rule::Choice(_)), Scalar::Text(_)) => None,
            _ => Some(Reason::Unlisted),
        };
        match refused {
            None => Ok(()),
            Some(reason) => Err(self.refuse("", reason)),
        }
    }

    /// A list or an object begins. A body is an object.
    fn structure<E: Error>(&mut self, is_object: bool) -> Result<(), E> {
        let is_allowed = match self.pattern.as_str() {
            _ if !self.allowance.listed_only => true,
            "" => is_object,
            _ => self.is_listed(),
        };
        match is_allowed {
            true => Ok(()),
            false => Err(self.refuse("", Reason::Unlisted)),
        }
    }

    /// A value that is looked at before it is walked through, or is replaced.
    fn raw<E: Error>(&mut self, rule: Rule, raw: &RawValue) -> Result<(), E> {
        match rule {
            Rule::Tool(types) => self.tool(raw, types),
            Rule::Offer(types) => self.offer(raw, types),
            Rule::Choice(types) if raw.get().starts_with('{') => self.tool(raw, types),
            Rule::Item(types) => self.item(raw, types),
            Rule::Store => self.store(raw),
            _ => self.walk(raw),
        }
    }

    /// `false`. `null` is replaced by it.
    fn store<E: Error>(&mut self, raw: &RawValue) -> Result<(), E> {
        self.has_store = true;
        let at = offset(self.body, raw.get());
        match raw.get() {
            "false" => Ok(()),
            "null" => {
                self.edits.push(Edit::new(at, "false".into()));
                Ok(())
            }
            _ => Err(self.refuse("", Reason::Unlisted)),
        }
    }

    fn walk<E: Error>(&mut self, raw: &RawValue) -> Result<(), E> {
        let mut deserializer = serde_json::Deserializer::from_str(raw.get());
        deserializer.deserialize_any(At(self)).map_err(E::custom)
    }

    /// Walks through what a listed tool may have: every field, except content at another place.
    fn walk_freely<E: Error>(&mut self, raw: &RawValue) -> Result<(), E> {
        let listed_only = std::mem::replace(&mut self.allowance.listed_only, false);
        let walked = self.walk(raw);
        self.allowance.listed_only = listed_only;
        walked
    }

    /// What is to be changed in a body that is allowed.
    fn edits(mut self) -> Vec<Edit> {
        let is_kept_by_default = self.table.get("store") == Some(&Rule::Store);
        if self.allowance.listed_only && is_kept_by_default && !self.has_store {
            let begin = self.body.iter().position(|byte| *byte == b'{');
            let begin = begin.map_or(0, |brace| brace + 1);
            // A body that can be routed has a field behind it: the model.
            self.edits
                .push(Edit::new(begin..begin, "\"store\":false,".into()));
        }
        self.edits
    }

    /// Goes down by a step, which the table writes as `pattern`.
    fn within<T>(
        &mut self,
        pattern: &str,
        place: Arguments<'_>,
        walk: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let before = (self.pattern.len(), self.place.len());
        if !self.pattern.is_empty() && pattern != "[]" {
            self.pattern.push('.');
            self.place.push('.');
        }
        self.pattern.push_str(pattern);
        // Writing to a text cannot fail.
        let _ = self.place.write_fmt(place);
        let walked = walk(self);
        if self.found.is_none() {
            self.pattern.truncate(before.0);
            self.place.truncate(before.1);
        }
        walked
    }
}

/// Whether a text is the content itself: a `data:` URL or base64.
fn is_inline(text: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=-_\r\n".contains(&byte);
    text.starts_with("data:") || text.bytes().all(is_base64)
}

/// Reads the value at the present place.
struct At<'a, 'w>(&'a mut Walk<'w>);

impl<'de> DeserializeSeed<'de> for At<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let is_strict = self.0.allowance.listed_only;
        match self.0.rule() {
            Some(Rule::Any) => IgnoredAny::deserialize(deserializer).map(drop),
            Some(rule) if is_strict && rule.needs_raw() => {
                let raw = <&RawValue>::deserialize(deserializer)?;
                self.0.raw(rule, raw)
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for At<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut Formatter<'_>) -> Formatted {
        formatter.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0
            .scalar(if value { Scalar::Other } else { Scalar::False })
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.0.scalar(Scalar::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.0.scalar(Scalar::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.0.scalar(Scalar::Other)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.0.scalar(Scalar::Text(value))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.scalar(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let walk = self.0;
        walk.structure(false)?;
        let mut index = 0;
        while let Some(()) = walk.within("[]", format_args!("[{index}]"), |walk| {
            values.next_element_seed(At(walk))
        })? {
            index += 1;
        }
        walk.leave_out_tools();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let walk = self.0;
        walk.structure(true)?;
        let is_body = walk.pattern.is_empty();
        let mut members = Vec::new();
        while let Some(raw) = fields.next_key::<&RawValue>()? {
            let name: String = serde_json::from_str(raw.get()).map_err(A::Error::custom)?;
            if is_body {
                let begin = offset(walk.body, raw.get()).start;
                members.push((begin, !TOOL_FIELDS.contains(&name.as_str())));
            }
            walk.within(&name, format_args!("{name}"), |walk| {
                fields.next_value_seed(At(walk))
            })?;
        }
        if is_body && walk.has_lost_tools {
            let end = walk.body.iter().rposition(|byte| *byte == b'}');
            let removed = removals(walk.body, &members, end.unwrap_or_default());
            walk.edits.extend(removed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
