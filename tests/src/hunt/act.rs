//! What a member may do with a request, and the bytes that it writes.

use serde::{Deserialize, Serialize};
use serde_json::json;

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// It never answers.
    Hang,
    /// RST without a byte of an answer.
    Reset,
    /// RST within the head.
    ResetInHead,
    /// The head, then RST.
    ResetAfterHead,
    /// The head, then silence.
    HangAfterHead,
    /// A status with an error body.
    Status(u16),
    /// A status without a body.
    Bare(u16),
    /// 302 to somewhere.
    Redirect,
    /// 200 with HTML.
    Html,
    /// 200 with the other form: JSON for a stream, a stream for JSON.
    OtherForm,
    /// 200 with a content encoding that nobody asked for.
    Encoded,
    /// A whole answer, in gzip that nobody asked for.
    Gzip,
    /// 200 and the end.
    Empty,
    /// The beginning of an answer without content, and the end.
    NoContent,
    /// The same with `[DONE]`.
    NoContentDone,
    /// 200 and an error with this status.
    Error(u16),
    /// The same after a beginning without content; the connection stays open.
    ErrorOpen(u16),
    /// Content, then RST.
    Cut,
    /// Content, then the end without its marks.
    Half,
    /// Content, then silence.
    Stall,
    /// Content, then an error.
    LateError,
    /// A whole answer.
    Good,
    /// The same byte by byte.
    Drip,
    /// The same with trailers.
    Trailers,
    /// A whole answer of more than what a gateway holds.
    Large,
}

const COMMON: [Act; 34] = [
    Act::Hang,
    Act::Hang,
    Act::Reset,
    Act::ResetInHead,
    Act::ResetAfterHead,
    Act::HangAfterHead,
    Act::Status(400),
    Act::Status(404),
    Act::Status(429),
    Act::Status(500),
    Act::Status(503),
    Act::Status(507),
    Act::Status(529),
    Act::Bare(500),
    Act::Bare(503),
    Act::Bare(204),
    Act::Redirect,
    Act::Html,
    Act::OtherForm,
    Act::Encoded,
    Act::Empty,
    Act::NoContent,
    Act::NoContentDone,
    Act::Error(400),
    Act::Error(429),
    Act::Error(500),
    Act::ErrorOpen(500),
    Act::Good,
    Act::Good,
    Act::Good,
    Act::Gzip,
    Act::Drip,
    Act::Trailers,
    Act::Large,
];

const STREAMED: [Act; 40] = {
    let mut all = [Act::Good; 40];
    let mut at = 0;
    while at < COMMON.len() {
        all[at] = COMMON[at];
        at += 1;
    }
    all[34] = Act::Cut;
    all[35] = Act::Half;
    all[36] = Act::Stall;
    all[37] = Act::LateError;
    all[38] = Act::Good;
    all[39] = Act::NoContent;
    all
};

/// What becomes of a request at a member that does this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The caller may get the whole answer.
    Whole,
    /// The caller may get the error: another member would say the same.
    Final,
    /// The caller may get a part, and then is told that it broke off.
    Broken,
    /// The next member is asked.
    AskedOn,
}

impl Act {
    /// What may come up.
    pub fn all(streamed: bool) -> &'static [Self] {
        if streamed { &STREAMED } else { &COMMON }
    }

    /// Whether others wait for a limit until they go on.
    pub fn takes_time(self) -> bool {
        let silent = [Self::Hang, Self::HangAfterHead, Self::Stall];
        silent.contains(&self) || matches!(self, Self::ErrorOpen(_))
    }

    /// What becomes of a request.
    pub fn fate(self) -> Fate {
        match self {
            Self::Good | Self::Gzip | Self::Drip | Self::Trailers | Self::Large => Fate::Whole,
            Self::Status(400 | 404) | Self::Error(400) => Fate::Final,
            Self::Cut | Self::Half | Self::Stall | Self::LateError => Fate::Broken,
            _ => Fate::AskedOn,
        }
    }
}

/// Events of a stream, or one JSON text, by a member for a request.
pub struct Words<'a> {
    /// The member.
    pub member: &'a str,
    /// The request.
    pub id: u64,
    /// An answer of more than 256 KiB.
    pub large: bool,
}

impl Words<'_> {
    fn token(&self, n: usize) -> String {
        let filling = if self.large {
            "x".repeat(100_000)
        } else {
            String::new()
        };
        format!("{}-{}-{n}{filling} ", self.member, self.id)
    }

    /// The first event, without content.
    pub fn role(&self) -> String {
        event(
            &json!({ "index": 0, "delta": { "role": "assistant", "content": "" }, "finish_reason": null }),
        )
    }

    /// The events with content.
    pub fn content(&self) -> Vec<String> {
        let tokens = (0..3).map(|n| self.token(n));
        tokens
            .map(|token| {
                event(&json!({ "index": 0, "delta": { "content": token }, "finish_reason": null }))
            })
            .collect()
    }

    /// The end of a stream.
    pub fn end(&self) -> String {
        event(&json!({ "index": 0, "delta": {}, "finish_reason": "stop" })) + "data: [DONE]\n\n"
    }

    /// A whole stream.
    pub fn stream(&self) -> String {
        self.role() + &self.content().concat() + &self.end()
    }

    /// A whole answer in one piece.
    pub fn whole(&self) -> String {
        let content: String = (0..3).map(|n| self.token(n)).collect();
        let message = json!({ "role": "assistant", "content": content });
        json!({ "object": "chat.completion", "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] }).to_string()
    }

    /// An error.
    pub fn error(&self, status: u16) -> String {
        let message = format!("{}-{} fails", self.member, self.id);
        json!({ "error": { "message": message, "type": "error", "param": null, "code": status } })
            .to_string()
    }
}

fn event(choice: &serde_json::Value) -> String {
    format!(
        "data: {}\n\n",
        json!({ "object": "chat.completion.chunk", "choices": [choice] })
    )
}
