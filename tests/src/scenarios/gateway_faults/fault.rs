//! The faults, and what is expected of each.

use super::super::replay::recorded;
use super::judge::{TOKENS, words};
use crate::fakes::{Behaviour, Fail, Replay};
use anyhow::Result;
use serde_json::{Value, json};
use std::time::Duration;

/// A fault of the home region's server.
pub struct Fault {
    /// Its name.
    pub name: &'static str,
    /// What home does with requests that are streamed, or not. It is the same where both are asked for together.
    pub home: fn(streamed: bool) -> Result<Behaviour>,
    /// The forms that are asked for, one group after the other: whether streamed.
    pub forms: &'static [&'static [bool]],
    /// How long it lasts.
    pub lasts: Lasts,
    /// What becomes of requests that are streamed.
    pub streamed: Expect,
    /// What becomes of the others.
    pub whole: Expect,
}

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// For one request.
    Once,
    /// For all requests, which come at once.
    Always,
    /// For this long, with requests at a steady rate.
    For(Duration),
}

/// What callers may hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Another member's whole answer.
    Rescued,
    /// A whole answer of home, or that it broke off.
    Told,
    /// Home's own answer, with nobody else asked.
    Answer,
    /// Home's own refusal with this status, with nobody else asked.
    Refused(u16),
}

const TOGETHER: &[&[bool]] = &[&[true, false]];
const EACH: &[&[bool]] = &[&[true], &[false]];
const STREAMED: &[&[bool]] = &[&[true]];

/// A fault before the first content.
const fn early(name: &'static str, home: fn(bool) -> Result<Behaviour>) -> Fault {
    Fault {
        name,
        home,
        forms: TOGETHER,
        lasts: Lasts::Always,
        streamed: Expect::Rescued,
        whole: Expect::Rescued,
    }
}

/// A fault after the first content of a stream.
const fn midway(name: &'static str, home: fn(bool) -> Result<Behaviour>) -> Fault {
    Fault {
        streamed: Expect::Told,
        ..early(name, home)
    }
}

/// All faults, in an order in which none leaves traces for the next one.
pub fn faults() -> Vec<Fault> {
    vec![
        Fault {
            lasts: Lasts::Once,
            ..early("429 once", |_| fails(Fail::Status(429)))
        },
        early("429 always", |_| fails(Fail::Status(429))),
        early("500", |_| fails(Fail::Status(500))),
        early("503", |_| fails(Fail::Status(503))),
        early("reset", |_| fails(Fail::Reset)),
        early("silence", |_| fails(Fail::Hang)),
        early("slow first token", |_| {
            Ok(Behaviour {
                first_token_ms: 4000,
                ..fine()
            })
        }),
        midway("cut at 40 of 60 tokens", |_| cut_midway()),
        Fault {
            forms: STREAMED,
            ..midway("stall", |_| written(&chunks(40), true))
        },
        Fault {
            forms: EACH,
            ..early("bad JSON in the first event", |streamed| {
                bad_json(streamed, 0)
            })
        },
        Fault {
            forms: STREAMED,
            ..midway("bad JSON in event 30", |streamed| bad_json(streamed, 30))
        },
        early("bad chunk", |_| bad_chunk(0)),
        Fault {
            forms: STREAMED,
            ..midway("bad chunk after 30 tokens", |_| bad_chunk(30))
        },
        Fault {
            forms: STREAMED,
            streamed: Expect::Answer,
            ..early("no [DONE]", |_| {
                written(&[chunks(TOKENS), end("stop")].concat(), false)
            })
        },
        Fault {
            streamed: Expect::Refused(400),
            whole: Expect::Refused(400),
            ..early("context too long", |_| too_long())
        },
        Fault {
            forms: EACH,
            streamed: Expect::Answer,
            whole: Expect::Answer,
            ..early("content filter", filtered)
        },
        midway("cut, and no fallback takes a prefill", |_| cut_midway()),
        Fault {
            lasts: Lasts::For(Duration::from_secs(7)),
            ..early("503 for 7 s", |_| fails(Fail::Status(503)))
        },
        Fault {
            forms: EACH,
            ..early("an error that reports tokens", reports_tokens)
        },
    ]
}

/// A server without a fault.
pub fn fine() -> Behaviour {
    Behaviour {
        tokens: TOKENS,
        ..Behaviour::default()
    }
}

fn fails(fail: Fail) -> Result<Behaviour> {
    Ok(Behaviour { fail, ..fine() })
}

/// The tokens take their time: a reset overtakes what was written just before.
fn cut_midway() -> Result<Behaviour> {
    Ok(Behaviour {
        fail: Fail::Cut(40),
        token_ms: 10,
        ..fine()
    })
}

fn event(choices: &Value, usage: &Value) -> String {
    let chunk = json!({ "object": "chat.completion.chunk", "choices": choices, "usage": usage });
    format!("data: {chunk}\n\n")
}

/// The first events of home's answer.
fn chunks(tokens: usize) -> Vec<String> {
    let words = words("us-west-2").into_iter().take(tokens);
    words
        .map(|word| {
            let choice = json!({ "index": 0, "delta": { "content": word }, "finish_reason": null });
            event(&json!([choice]), &Value::Null)
        })
        .collect()
}

/// The last events of home's answer but `[DONE]`.
fn end(finish_reason: &str) -> Vec<String> {
    let choice = json!({ "index": 0, "delta": {}, "finish_reason": finish_reason });
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": TOKENS });
    vec![
        event(&json!([choice]), &Value::Null),
        event(&json!([]), &usage),
    ]
}

/// A stream that ends with its connection, or stalls.
fn written(events: &[String], stalls: bool) -> Result<Behaviour> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    replayed(head, events, stalls)
}

fn replayed(head: &str, pieces: &[String], stalls: bool) -> Result<Behaviour> {
    let pieces = std::iter::once(head).chain(pieces.iter().map(String::as_str));
    let pieces = pieces.map(|piece| piece.as_bytes().to_vec()).collect();
    Ok(Behaviour {
        replay: Some(Replay { pieces, stalls }),
        ..fine()
    })
}

fn in_one_piece(body: &str) -> Result<Behaviour> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    replayed(&head, &[body.into()], false)
}

/// After this many tokens an event that is no JSON, and then the rest as if nothing had been.
fn bad_json(streamed: bool, after: usize) -> Result<Behaviour> {
    if !streamed {
        return in_one_piece(r#"{"choices":[{"message":{"content":"us-west-2 tok"#);
    }
    let mut events = chunks(TOKENS);
    events.insert(after, "data: {\"choices\":[{\n\n".into());
    events.extend(end("stop"));
    events.push("data: [DONE]\n\n".into());
    written(&events, false)
}

/// After this many tokens a chunk whose size is no number.
fn bad_chunk(after: usize) -> Result<Behaviour> {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = |event: String| format!("{:x}\r\n{event}\r\n", event.len());
    let mut pieces: Vec<String> = chunks(after).into_iter().map(chunk).collect();
    pieces.push("no number\r\ndata: {}\n\n\r\n".into());
    replayed(head, &pieces, false)
}

/// What a real server says to a prompt that is too long.
fn too_long() -> Result<Behaviour> {
    let refused = recorded("err.prompt_too_long", false)?;
    Ok(Behaviour {
        replay: Some(Replay {
            pieces: vec![refused.bytes],
            stalls: false,
        }),
        ..fine()
    })
}

/// An answer that a content filter ends after some tokens.
fn filtered(streamed: bool) -> Result<Behaviour> {
    if streamed {
        let mut events = chunks(20);
        events.extend(end("content_filter").into_iter().take(1));
        events.push("data: [DONE]\n\n".into());
        return written(&events, false);
    }
    let message = json!({ "role": "assistant", "content": words("us-west-2")[..20].concat() });
    let choice = json!({ "index": 0, "message": message, "finish_reason": "content_filter" });
    in_one_piece(&json!({ "object": "chat.completion", "choices": [choice] }).to_string())
}

/// An error in a 200 behind a report of many tokens.
fn reports_tokens(streamed: bool) -> Result<Behaviour> {
    let usage = json!({ "prompt_tokens": 100_000, "completion_tokens": 100_000 });
    let error = json!({ "message": "the engine is dead", "type": "server_error", "code": 500 });
    if !streamed {
        return in_one_piece(&json!({ "error": error, "usage": usage }).to_string());
    }
    let failed = format!("data: {}\n\n", json!({ "error": error }));
    written(&[event(&json!([]), &usage), failed], false)
}
