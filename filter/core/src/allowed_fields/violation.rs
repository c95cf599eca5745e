//! A field that a server may not be given, and what the caller is told.

use crate::excerpt::{MAX_VALUE, excerpt};
use std::fmt::{Display, Formatter, Result as Formatted};

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

impl Reason {
    /// A tool of this type, or what such a tool has made.
    pub fn tool(kind: &str) -> Self {
        Self::Tool(excerpt(kind, MAX_VALUE).into_owned())
    }

    /// A value that is not listed.
    pub fn value(value: &str) -> Self {
        Self::Value(excerpt(value, MAX_VALUE).into_owned())
    }
}

impl Violation {
    /// A violation at a place in the body.
    pub fn at(place: &str, reason: Reason) -> Self {
        Self {
            field: excerpt(place, MAX_VALUE).into_owned(),
            reason,
        }
    }

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
