//! The way through a body, as it stands.

use super::allowance::Allowance;
use super::table::{Rule, Table};
use super::tools::{self, Verdict};
use super::violation::{Reason, Violation};
use crate::edit::{Edit, offset, removals};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt::{Arguments, Formatter, Result as Formatted, Write as _};
use std::ops::Range;

/// The way through a body.
pub struct Walk<'w> {
    table: &'static Table,
    allowance: Allowance<'w>,
    body: &'w [u8],
    /// The present place, as the table writes it: `tools[].type`.
    pattern: String,
    /// The present place: `tools[2].type`.
    place: String,
    /// The tools of the body: their bytes in the body, and whether each goes on.
    offers: Vec<(Range<usize>, bool)>,
    /// The list of tools has lost all of them.
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

impl<'w> Walk<'w> {
    /// The way through a body, by a table.
    pub fn new(table: &'static Table, allowance: Allowance<'w>, body: &'w [u8]) -> Self {
        Self {
            table,
            allowance,
            body,
            pattern: String::new(),
            place: String::new(),
            offers: Vec::new(),
            has_lost_tools: false,
            has_store: false,
            edits: Vec::new(),
            found: None,
        }
    }

    /// Goes through the body, and returns what is to be changed in it.
    ///
    /// # Errors
    /// The first field that is not allowed, or the place where the body is no JSON.
    pub fn edits(mut self) -> Result<Vec<Edit>, Violation> {
        let mut deserializer = serde_json::Deserializer::from_slice(self.body);
        let read = deserializer
            .deserialize_any(At(&mut self))
            .and_then(|()| deserializer.end());
        if let Some(violation) = self.found {
            return Err(violation);
        }
        if read.is_err() {
            // It may be read by a server that understands more than JSON.
            return Err(Violation::at(&self.place, Reason::Unreadable));
        }
        let may_be_kept = self.table.get("store") == Some(&Rule::Store);
        if self.allowance.forbids_store && may_be_kept && !self.has_store {
            let begin = self.body.iter().position(|byte| *byte == b'{');
            let begin = begin.map_or(0, |brace| brace + 1);
            // A body that can be routed has a field behind it: the model.
            let store = Edit::new(begin..begin, "\"store\":false,".into());
            self.edits.push(store);
        }
        Ok(self.edits)
    }

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
        self.found = Some(Violation::at(&self.place, reason));
        E::custom("a field is not allowed")
    }

    fn scalar<E: Error>(&mut self, value: Scalar<'_>) -> Result<(), E> {
        let Allowance {
            forbids_store: _,
            listed_only,
            tools,
            remote_content,
        } = self.allowance;
        let refused = match (self.rule(), value) {
            (_, Scalar::Null) if !self.pattern.is_empty() => None,
            (_, Scalar::Text(text)) if !remote_content && self.is_content() && !is_inline(text) => {
                Some(Reason::Remote)
            }
            _ if !listed_only => None,
            (Some(Rule::Off), Scalar::False) => None,
            (Some(Rule::OneOf(known)), Scalar::Text(text)) => {
                (!known.contains(&text)).then(|| Reason::value(text))
            }
            (Some(Rule::Caller(known)), Scalar::Text(text)) => {
                let is_known = known.contains(&text) || tools.contains(text);
                (!is_known).then(|| Reason::tool(text))
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
        let allowed = self.allowance.tools;
        let verdict = match rule {
            Rule::Store => return self.store(raw),
            Rule::Choice(_) if !raw.get().starts_with('{') => Verdict::Listed,
            Rule::Tool(types) | Rule::Choice(types) => tools::tool(raw, types, allowed),
            Rule::Offer(types) => tools::offer(raw, types, allowed),
            Rule::Item(types) => tools::item(raw, types, allowed),
            _ => Verdict::Listed,
        };
        if let Rule::Offer(_) = rule {
            let at = offset(self.body, raw.get());
            self.offers.push((at, verdict != Verdict::LeftOut));
        }
        match verdict {
            Verdict::Listed => self.walk(raw),
            Verdict::Free => self.walk_freely(raw),
            Verdict::LeftOut => Ok(()),
            Verdict::Refused(below, reason) => Err(self.refuse(below, reason)),
        }
    }

    /// The end of the tools: those that do not go on are left out, or the list itself is if none does.
    fn leave_out_tools(&mut self) {
        let offers = std::mem::take(&mut self.offers);
        let Some((last, _)) = offers.last() else {
            return;
        };
        if offers.iter().any(|(_, goes_on)| *goes_on) {
            let parts = offers.iter().map(|(at, goes_on)| (at.start, *goes_on));
            let parts: Vec<_> = parts.collect();
            self.edits.extend(removals(self.body, &parts, last.end));
        } else {
            self.has_lost_tools = true;
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
        if walk.pattern == "tools" {
            walk.leave_out_tools();
        }
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
