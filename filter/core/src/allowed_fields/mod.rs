//! The fields of a request that a server may be given. A provider runs tools of its own and fetches what a request names, so it can
//! send a prompt, or what it found, to third places. One [table] for each API lists the fields that cannot: everything else is refused
//! by name.
//!
//! The body is read as it stands, without a tree of it: a field that is repeated is checked each time, whichever one the server reads.

mod table;

use crate::excerpt::{MAX_VALUE, excerpt};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
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
/// the field's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violation {
    /// The field, as a path into the body: `tools[2].type`. Empty for the body itself.
    pub field: String,
    /// Whether the field names content at another place.
    pub is_remote: bool,
}

/// Checks a body of the API on a path. The path has no query.
///
/// # Errors
/// The first field that is not allowed, or the place where the body is no JSON.
pub fn check(path: &str, body: &[u8], allowance: Allowance<'_>) -> Result<(), Violation> {
    let Some(table) = table(path) else {
        return match allowance.listed_only {
            true => Err(Violation::default()),
            false => Ok(()),
        };
    };
    let mut walk = Walk {
        table,
        allowance,
        pattern: String::new(),
        place: String::new(),
        found: None,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = deserializer
        .deserialize_any(At(&mut walk))
        .and_then(|()| deserializer.end());
    match (read, walk.found) {
        (_, Some(violation)) => Err(violation),
        (Ok(()), None) => Ok(()),
        // It may be read by a server that understands more than JSON.
        (Err(_), None) => Err(Violation {
            field: walk.place,
            is_remote: false,
        }),
    }
}

impl Violation {
    /// A short, stable name of the kind of violation.
    pub fn code(&self) -> &'static str {
        match self.is_remote {
            true => "remote_content",
            false => "field_not_allowed",
        }
    }
}

impl Display for Violation {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> Formatted {
        let field = excerpt(&self.field, MAX_VALUE);
        match self.is_remote {
            true => write!(
                formatter,
                "`{field}` names content at another place, which the server would fetch; send the content itself, as a `data:` URL"
            ),
            false => write!(
                formatter,
                "`{field}` could have the server send the request to third places, or is not known to this gateway; leave it out"
            ),
        }
    }
}

/// The way through a body.
struct Walk<'w> {
    table: &'static Table,
    allowance: Allowance<'w>,
    /// The present place, as the table writes it: `tools[].type`.
    pattern: String,
    /// The present place: `tools[2].type`.
    place: String,
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

    fn refuse<E: Error>(&mut self, below: &str, is_remote: bool) -> E {
        self.found = Some(Violation {
            field: format!("{}{below}", self.place),
            is_remote,
        });
        E::custom("a field is not allowed")
    }

    fn scalar<E: Error>(&mut self, value: Scalar<'_>) -> Result<(), E> {
        let Allowance {
            listed_only,
            remote_content,
            ..
        } = self.allowance;
        let is_allowed = match (self.rule(), value) {
            (_, Scalar::Null) => !self.pattern.is_empty(),
            (Some(Rule::Inline), Scalar::Text(text)) if !remote_content && !is_inline(text) => {
                return Err(self.refuse("", true));
            }
            _ if !listed_only => true,
            (Some(Rule::Off), value) => matches!(value, Scalar::False),
            (Some(Rule::OneOf(known)), Scalar::Text(text)) => known.contains(&text),
            (Some(Rule::OneOf(_)) | None, _) => false,
            (Some(_), _) => true,
        };
        match is_allowed {
            true => Ok(()),
            false => Err(self.refuse("", false)),
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
            false => Err(self.refuse("", false)),
        }
    }

    /// A tool. Its type decides who runs it. A repeated type is refused: two servers might read two different ones.
    fn tool<E: Error>(&mut self, raw: &RawValue, run_by_caller: &[&str]) -> Result<(), E> {
        #[derive(Deserialize)]
        struct Tool<'a> {
            #[serde(borrow, rename = "type")]
            kind: Option<Cow<'a, str>>,
        }
        let Ok(Tool { kind }) = serde_json::from_str(raw.get()) else {
            return Err(self.refuse("", false));
        };
        let kind = kind.unwrap_or_default();
        if self.allowance.tools.contains(kind.as_ref()) {
            return Ok(());
        }
        if !run_by_caller.contains(&kind.as_ref()) {
            return Err(self.refuse(".type", false));
        }
        let mut deserializer = serde_json::Deserializer::from_str(raw.get());
        let read = deserializer.deserialize_any(At(self));
        read.map_err(E::custom)
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
            Some(Rule::Tool(run_by_caller)) if is_strict => {
                let raw = <&RawValue>::deserialize(deserializer)?;
                self.0.tool(raw, run_by_caller)
            }
            None if !is_strict && !self.0.is_listed() => {
                IgnoredAny::deserialize(deserializer).map(drop)
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
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let walk = self.0;
        walk.structure(true)?;
        while let Some(name) = fields.next_key::<String>()? {
            walk.within(&name, format_args!("{name}"), |walk| {
                fields.next_value_seed(At(walk))
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
