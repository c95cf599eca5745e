//! Reads a JSON request body: the model, whether the response is streamed, and the affinity key.

use crate::excerpt::{MAX_VALUE, excerpt};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt::{Formatter, Result as Formatted};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The facts of a request body that a decision needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyFacts {
    /// The requested model. Of a long name the beginning, which is no model's name.
    pub model: String,
    /// Whether the response is streamed.
    pub stream: bool,
    /// A key of the request's conversation, from the cache key, else the end user, else the leading messages. `None` if the body
    /// has none of them.
    pub affinity: Option<u64>,
    /// The field by which the request names an earlier answer instead of repeating it: only who gave that one can go on.
    pub continues: Option<&'static str>,
}

/// A body that cannot be routed. The text is the message for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadBody(String);

/// Bytes at the start of a bare prompt that make its affinity key. A prompt grows at its end.
const PROMPT_PREFIX_BYTES: usize = 2 * 1024;

/// Bytes at each end of the leading messages that make their affinity key. The limit bounds the work. The end separates
/// conversations that share a long system prompt.
const LEADING_END_BYTES: usize = 64 * 1024;

/// The longest text whose escapes are read, in bytes. A longer one is taken as it is written: each may be as long as the body.
const LONGEST_READ: usize = 8 * MAX_VALUE;

/// How deep JSON may be nested. What is skipped takes a byte of memory for each level.
const DEEPEST: usize = 1 << 20;

/// The fields as they are written: nothing of the body is copied.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    stream: Option<&'a RawValue>,
    prompt_cache_key: Option<&'a RawValue>,
    user: Option<&'a RawValue>,
    messages: Option<&'a RawValue>,
    prompt: Option<&'a RawValue>,
    input: Option<&'a RawValue>,
    previous_response_id: Option<&'a RawValue>,
    conversation: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Option<&'a RawValue>,
}

/// Reads a body. Unknown fields are ignored.
///
/// # Errors
/// The body is no JSON object, or names no `model`. A repeated `model` is an error: servers differ in which one they read.
pub fn read(body: &[u8]) -> Result<BodyFacts, BadBody> {
    if body.is_empty() {
        return Err(BadBody(
            "The request has no body; a JSON object with a `model` is needed.".into(),
        ));
    }
    if is_too_deep(body) {
        return Err(BadBody(format!(
            "The request body is nested more than {DEEPEST} levels deep."
        )));
    }
    let request: Request<'_> = serde_json::from_slice(body).map_err(|error| {
        let error = error.to_string();
        let error = excerpt(&error, MAX_VALUE);
        BadBody(format!(
            "The request body is not a JSON object that can be routed: {error}."
        ))
    })?;
    let model = text("model", request.model)?;
    let Some(model) = model else {
        return Err(BadBody("The request body names no `model`.".into()));
    };
    let stream = match request.stream.map_or("null", RawValue::get) {
        "true" => true,
        "false" | "null" => false,
        // What it is instead may be long.
        _ => return Err(BadBody("`stream` must be true or false.".into())),
    };
    let key = text("prompt_cache_key", request.prompt_cache_key)?;
    let user = text("user", request.user)?;
    let affinity = key.or(user).map(|key| xxh3_64(key.as_bytes())).or_else(|| {
        let messages = request.messages.or(request.input);
        let leading = messages.and_then(leading_messages);
        let leading = leading.map(|(leading, _)| key_of_messages(leading));
        leading.or_else(|| Some(key_of_prompt(request.prompt.or(messages)?.get())))
    });
    Ok(BodyFacts {
        model: excerpt(&model, MAX_VALUE).into_owned(),
        stream,
        affinity,
        continues: continues(&[
            ("previous_response_id", request.previous_response_id),
            ("conversation", request.conversation),
        ]),
    })
}

/// The turns of a conversation, as they are written.
#[derive(Deserialize)]
struct Turns<'a> {
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    input: Option<&'a RawValue>,
}

/// Whether a body begins a conversation, as far as it tells: nothing follows its first turn. It is one that [`read`] accepts.
pub fn begins(body: &[u8]) -> bool {
    let turns: Option<Turns<'_>> = serde_json::from_slice(body).ok();
    let turns = turns.and_then(|turns| turns.messages.or(turns.input));
    let leading = turns.and_then(leading_messages);
    leading.is_none_or(|(_, rest)| rest.trim_start() == "]")
}

/// Whether a body is nested too deep. One that is no JSON may be called so as well.
fn is_too_deep(body: &[u8]) -> bool {
    // Each level takes a byte of the body, and most bodies are short.
    let mut rest = if body.len() > DEEPEST { body } else { &[] };
    let mut depth = 0_usize;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'"' => rest = behind_string(behind),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return true;
        }
    }
    false
}

/// What follows a string. `text` begins behind its first quote.
fn behind_string(text: &[u8]) -> &[u8] {
    let mut is_escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(&[], |end| &text[end + 1..])
}

/// What a field says; `None` if it is absent or empty.
fn text<'a>(field: &str, written: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, BadBody> {
    let Some(written) = written.map(RawValue::get) else {
        return Ok(None);
    };
    let quoted = written
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let Some(quoted) = quoted else {
        return Err(BadBody(format!("`{field}` must be a string.")));
    };
    let is_read = quoted.len() <= LONGEST_READ && quoted.contains('\\');
    let text = match is_read {
        true => serde_json::from_str(written).map_or(Cow::Borrowed(quoted), Cow::Owned),
        false => Cow::Borrowed(quoted),
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn continues(fields: &[(&'static str, Option<&RawValue>)]) -> Option<&'static str> {
    let is_given = |value: Option<&RawValue>| value.is_some_and(|value| value.get() != "null");
    let given = fields.iter().find(|(_, value)| is_given(*value));
    given.map(|(field, _)| *field)
}

fn key_of_prompt(prompt: &str) -> u64 {
    xxh3_64(&prompt.as_bytes()[..prompt.len().min(PROMPT_PREFIX_BYTES)])
}

fn key_of_messages(leading: &str) -> u64 {
    let bytes = leading.as_bytes();
    let end = bytes.len().min(LEADING_END_BYTES);
    xxh3_64_with_seed(&bytes[bytes.len() - end..], xxh3_64(&bytes[..end]))
}

/// The messages up to the first user message, and the rest of the list. They stay the same while a conversation grows. `None` if the value
/// is no list of messages, or has no user message.
fn leading_messages(messages: &RawValue) -> Option<(&str, &str)> {
    let text = messages.get();
    let mut first_user = None;
    // It ends with an error at the first user message, and at an element that is no message.
    let _ = serde_json::Deserializer::from_str(text).deserialize_seq(Leading(&mut first_user));
    // Both are slices of one text, so their addresses give the offset in the list.
    let first_user: &RawValue = first_user?;
    let end = first_user.get().as_ptr() as usize + first_user.get().len() - text.as_ptr() as usize;
    text.split_at_checked(end)
}

/// Reads messages up to the first user message, which it keeps.
struct Leading<'m, 'a>(&'m mut Option<&'a RawValue>);

impl<'a> Visitor<'a> for Leading<'_, 'a> {
    type Value = IgnoredAny;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> Formatted {
        formatter.write_str("messages")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut messages: A) -> Result<IgnoredAny, A::Error> {
        while let Some(message) = messages.next_element::<&RawValue>()? {
            let Message { role } = serde_json::from_str(message.get()).map_err(A::Error::custom)?;
            if text("role", role).is_ok_and(|role| role.as_deref() == Some("user")) {
                *self.0 = Some(message);
                return Err(A::Error::custom("it is found"));
            }
        }
        Ok(IgnoredAny)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn affinity(body: &str) -> Option<u64> {
        read(body.as_bytes()).unwrap().affinity
    }

    #[test]
    fn facts_of_a_request() {
        let facts =
            read(br#"{"stream":true,"x":[1,{"model":"inner"}],"model":"a/b:c","user":"u"}"#)
                .unwrap();
        assert_eq!(
            (facts.model.as_str(), facts.stream, facts.affinity),
            ("a/b:c", true, Some(xxh3_64(b"u")))
        );
        let facts = read(br#"{"model":"m\u0065","stream":null}"#).unwrap();
        assert_eq!(
            (facts.model.as_str(), facts.stream, facts.affinity),
            ("me", false, None)
        );
    }

    #[test]
    fn a_request_may_continue_an_answer() {
        for (field, continues) in [
            (
                r#""previous_response_id":"resp_1""#,
                Some("previous_response_id"),
            ),
            (r#""conversation":{"id":"conv_1"}"#, Some("conversation")),
            (r#""previous_response_id":null,"conversation":null"#, None),
            (r#""input":"previous_response_id""#, None),
        ] {
            let facts = read(format!(r#"{{"model":"m",{field}}}"#).as_bytes()).unwrap();
            assert_eq!(facts.continues, continues, "{field}");
        }
    }

    #[test]
    fn a_conversation_keeps_its_affinity_while_it_grows() {
        let first = r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"q"}]}"#;
        let later = r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"r"}]}"#;
        let other = r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"p"}]}"#;
        assert_eq!(affinity(first), affinity(later));
        assert_ne!(affinity(first), affinity(other));
        assert_ne!(
            affinity(r#"{"model":"m","prompt":"a"}"#),
            affinity(r#"{"model":"m","prompt":"b"}"#)
        );
        let prompt = |more: &str| {
            affinity(&format!(
                r#"{{"model":"m","prompt":"{}{more}"}}"#,
                "p".repeat(3000)
            ))
        };
        assert_eq!(prompt(""), prompt(" and then"));
    }

    #[test]
    fn conversations_with_the_same_long_system_prompt_differ() {
        let system = "s".repeat(1 << 20);
        let key = |field: &str, question: &str| {
            affinity(&format!(
                r#"{{"model":"m","{field}":[{{"role":"system","content":"{system}"}},{{"role":"user","content":"{question}"}}]}}"#
            ))
        };
        for field in ["messages", "input"] {
            assert_eq!(key(field, "q"), key(field, "q"));
            assert_ne!(key(field, "q"), key(field, "p"), "{field}");
        }
    }

    #[test]
    fn a_conversation_begins_with_its_first_turn() {
        let turn = |role: &str| format!(r#"{{"role":"{role}","content":"x"}}"#);
        let (system, user, assistant) = (turn("system"), turn("user"), turn("assistant"));
        for (turns, is_first) in [
            (format!("[{user}]"), true),
            (format!("[{system}, {user} ]"), true),
            (format!("[{user},{assistant},{user}]"), false),
            (format!("[{system},{user},{user}]"), false),
            (format!("[{assistant}]"), true),
            ("[]".into(), true),
            (r#""text""#.into(), true),
        ] {
            for field in ["messages", "input"] {
                let body = format!(r#"{{"model":"m","{field}":{turns},"stream":true}}"#);
                assert_eq!(begins(body.as_bytes()), is_first, "{body}");
            }
        }
        assert!(begins(br#"{"model":"m","prompt":"x"}"#));
    }

    #[test]
    fn invalid_bodies_are_refused_with_a_reason() {
        for (body, expect) in [
            ("", "no body"),
            ("{", "EOF"),
            ("[]", "not a JSON object"),
            ("{}", "names no `model`"),
            (r#"{"model":""}"#, "names no `model`"),
            (r#"{"model":7}"#, "`model` must be a string"),
            (r#"{"model":"m","user":[]}"#, "`user` must be a string"),
            (r#"{"model":"a","model":"b"}"#, "duplicate field `model`"),
            (
                r#"{"model":"a","stream":"yes"}"#,
                "`stream` must be true or false",
            ),
            (r#"{"model":"a"} trailing"#, "trailing"),
            ("{\"model\":\"\u{1}\"}", "control character"),
        ] {
            let error = read(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expect), "{body}: {error}");
        }
        let deep = format!(
            r#"{{"model":"m","messages":{}{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        assert!(
            read(deep.as_bytes()).is_ok(),
            "what is not looked into costs no stack"
        );
    }

    #[test]
    fn a_body_has_a_limit_of_depth() {
        let nested = |text: &str, levels: usize| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            let body = format!(r#"{{"model":"m","user":"{text}","messages":{open}{close}}}"#);
            read(body.as_bytes())
        };
        for text in ["", r"[\\", r#"\"["#] {
            assert!(nested(text, DEEPEST - 1).is_ok(), "{text}");
            let error = nested(text, DEEPEST).unwrap_err().to_string();
            assert!(error.contains("levels deep"), "{error}");
        }
        assert!(nested(&"[".repeat(2 * DEEPEST), 1).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(body in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = read(&body);
        }

        #[test]
        fn nearly_valid_json_is_read(body in r#"[\[\]{}",:a-e0-9\\ ]{0,64}"#) {
            let _ = read(format!(r#"{{"model":"m","messages":{body}}}"#).as_bytes());
        }
    }
}
