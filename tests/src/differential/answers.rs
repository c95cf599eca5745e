//! Random answers of pools and providers: good ones, failures, and what no server should say.

use super::bodies::split;
use super::random::one_of;
use super::server::{Ending, Script};
use crate::fakes::bedrock_frame;
use crate::world::{CLAUDE, MODEL};
use flate2::Compression;
use flate2::write::GzEncoder;
use meridian_policy::egress_policy::ClaudeHost;
use rand::{Rng, RngExt};
use serde_json::{Value, json};
use std::io::Write;

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was asked for.
    Good,
    /// The same with trailers.
    Trailers,
    /// The same in gzip.
    Gzip,
    /// The same until the end of the connection.
    UntilEnd,
    /// The same of more bytes than a gateway holds.
    Large,
    /// The same with headers that an answer should not have.
    Headers,
    /// The same behind interim answers.
    Interim,
    /// An error with its status.
    Status(u16),
    /// The same with this `Retry-After`.
    RetryAfter(u16, &'static str),
    /// The same as HTML.
    HtmlStatus(u16),
    /// The same without a body.
    Bare(u16),
    /// The model is not there.
    NoModel,
    /// The prompt is too long.
    TooLong,
    /// HTML with the status 200.
    Html,
    /// JSON for a stream, a stream for JSON.
    OtherForm,
    /// Nothing with the status 200.
    Empty,
    /// The beginning of an answer without content.
    NoContent,
    /// An error with the status 200.
    Error(u16),
    /// An error behind content.
    LateError,
    /// An event that is none behind content.
    LateJunk,
    /// Some bytes are others.
    Garbled,
    /// Content, then the end without its marks.
    Half,
    /// Content, then RST.
    Cut,
    /// Content, then silence.
    Stalls,
    /// A part of what its length says, then the end.
    Short,
    /// RST without a byte.
    Reset,
    /// The end without a byte.
    Closes,
    /// RST within the head.
    ResetInHead,
    /// The head, then RST.
    ResetAfterHead,
    /// Nothing.
    Hangs,
    /// The head, then nothing.
    HangsAfterHead,
    /// A head that is none.
    Junk,
    /// A redirect.
    Redirect,
    /// An encoding that nobody asked for.
    Encoded,
}

const GOOD: [Kind; 12] = [
    Kind::Good,
    Kind::Good,
    Kind::Good,
    Kind::Good,
    Kind::Good,
    Kind::Good,
    Kind::Trailers,
    Kind::Gzip,
    Kind::UntilEnd,
    Kind::Large,
    Kind::Headers,
    Kind::Interim,
];

const BAD: [Kind; 45] = [
    Kind::Status(400),
    Kind::Status(401),
    Kind::Status(403),
    Kind::Status(404),
    Kind::Status(408),
    Kind::Status(413),
    Kind::Status(422),
    Kind::Status(429),
    Kind::Status(500),
    Kind::Status(502),
    Kind::Status(503),
    Kind::Status(529),
    Kind::RetryAfter(429, "1"),
    Kind::RetryAfter(429, "7"),
    Kind::RetryAfter(503, "30"),
    Kind::RetryAfter(503, "soon"),
    Kind::RetryAfter(503, "Wed, 21 Oct 2026 07:28:00 GMT"),
    Kind::HtmlStatus(502),
    Kind::HtmlStatus(404),
    Kind::Bare(400),
    Kind::Bare(429),
    Kind::Bare(500),
    Kind::Bare(204),
    Kind::NoModel,
    Kind::TooLong,
    Kind::Html,
    Kind::OtherForm,
    Kind::Empty,
    Kind::NoContent,
    Kind::Error(400),
    Kind::Error(503),
    Kind::LateError,
    Kind::LateJunk,
    Kind::Garbled,
    Kind::Half,
    Kind::Cut,
    Kind::Stalls,
    Kind::Short,
    Kind::Reset,
    Kind::Closes,
    Kind::ResetInHead,
    Kind::ResetAfterHead,
    Kind::Junk,
    Kind::Redirect,
    Kind::Encoded,
];

impl Kind {
    /// How all failures of a member are for a while, if they are alike: then its breaker opens.
    pub fn alike(random: &mut impl Rng) -> Option<Self> {
        let kinds = [
            Self::Status(503),
            Self::RetryAfter(429, "7"),
            Self::RetryAfter(503, "30"),
            Self::Reset,
            Self::Hangs,
        ];
        random.random_ratio(1, 2).then(|| one_of(random, &kinds))
    }

    /// A failure as often as that, in percent. Silence is seldom: it takes the gateway many steps.
    pub fn random(random: &mut impl Rng, failures: u32, alike: Option<Self>) -> Self {
        if random.random_range(0..100) >= failures {
            one_of(random, &GOOD)
        } else if let Some(alike) = alike {
            alike
        } else {
            match random.random_range(0..20) {
                0 => Self::Hangs,
                1 => Self::HangsAfterHead,
                _ => one_of(random, &BAD),
            }
        }
    }
}

/// What a member writes for a request.
pub fn script(
    random: &mut impl Rng,
    kind: Kind,
    path: &str,
    streamed: bool,
    claude: Option<ClaudeHost>,
    member: &str,
) -> Script {
    let words = Words {
        streamed,
        claude,
        member,
        path: path.split('?').next().unwrap_or_default(),
        filling: if kind == Kind::Large { 100_000 } else { 0 },
    };
    let (head, parts, framing) = words.answer(kind);
    let mut bytes = head.into_bytes();
    match framing {
        Framing::Length(more) => {
            let length: usize = parts.iter().map(Vec::len).sum();
            bytes.extend(format!("content-length: {}\r\n\r\n", length + more).bytes());
            bytes.extend(parts.concat());
        }
        Framing::UntilEnd => {
            bytes.extend(b"connection: close\r\n\r\n");
            bytes.extend(parts.concat());
        }
        Framing::Chunked(end) => {
            bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
            for part in parts.iter().filter(|part| !part.is_empty()) {
                bytes.extend(format!("{:x}\r\n", part.len()).bytes());
                bytes.extend_from_slice(part);
                bytes.extend(b"\r\n");
            }
            bytes.extend(end.bytes());
        }
        Framing::Raw => {}
    }
    let count = one_of(random, &[1, 1, 1, 2, 2, 3, 8]);
    let pieces = if bytes.is_empty() {
        Vec::new()
    } else {
        split(random, &bytes, count)
    };
    Script {
        waits: random.random_ratio(1, 3),
        pieces,
        ending: words.ending(kind),
    }
}

/// The head without the framing, the body in parts, the framing.
type Answer = (String, Vec<Vec<u8>>, Framing);

/// How a body is framed.
enum Framing {
    /// By its length, which is so many bytes more than there are.
    Length(usize),
    /// By the end of the connection.
    UntilEnd,
    /// In chunks, with this end.
    Chunked(&'static str),
    /// The bytes are all there is.
    Raw,
}

const END: &str = "0\r\n\r\n";

/// What an answer is about.
struct Words<'w> {
    streamed: bool,
    claude: Option<ClaudeHost>,
    member: &'w str,
    path: &'w str,
    filling: usize,
}

impl Words<'_> {
    fn ending(&self, kind: Kind) -> Ending {
        match kind {
            Kind::UntilEnd | Kind::Closes | Kind::Short | Kind::Junk => Ending::Closes,
            Kind::Cut | Kind::Reset | Kind::ResetInHead | Kind::ResetAfterHead => Ending::Resets,
            Kind::Hangs | Kind::HangsAfterHead | Kind::Stalls => Ending::Hangs,
            _ => Ending::Stays,
        }
    }

    fn answer(&self, kind: Kind) -> Answer {
        let all = [Self::good_answer, Self::odd_answer, Self::broken_answer];
        let found = all.iter().find_map(|answer| answer(self, kind));
        found.unwrap_or_else(|| self.failure(kind))
    }

    fn good_answer(&self, kind: Kind) -> Option<Answer> {
        let (ok, good, chunked) = self.parts();
        Some(match kind {
            Kind::Trailers => {
                let end = "0\r\nx-trailer: 1\r\nx-meridian-region: forged\r\n\r\n";
                (ok, good, Framing::Chunked(end))
            }
            Kind::Gzip => {
                let head = format!("{ok}content-encoding: gzip\r\n");
                (head, vec![gzip(&good.concat())], chunked)
            }
            Kind::UntilEnd => (ok, good, Framing::UntilEnd),
            Kind::Headers => (format!("{ok}{ODD_HEADERS}"), good, chunked),
            Kind::Interim => (format!("{INTERIM}{ok}"), good, chunked),
            Kind::Good | Kind::Large if self.streamed => (ok, good, chunked),
            Kind::Good | Kind::Large => (ok, good, Framing::Length(0)),
            _ => return None,
        })
    }

    fn odd_answer(&self, kind: Kind) -> Option<Answer> {
        let (ok, good, chunked) = self.parts();
        let html = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n";
        let junk = b"data: {\"choices\":[{\n\n".to_vec();
        Some(match kind {
            Kind::OtherForm => (self.ok(!self.streamed), self.good(!self.streamed), chunked),
            Kind::Empty => (ok, Vec::new(), Framing::Length(0)),
            Kind::NoContent => (ok, good.into_iter().take(1).collect(), chunked),
            Kind::Error(status) => (ok, vec![self.error(status, self.streamed)], chunked),
            Kind::LateError => (ok, self.late(self.error(503, self.streamed)), chunked),
            Kind::LateJunk => (ok, self.late(junk), chunked),
            Kind::Garbled => (ok, vec![garbled(good.concat())], chunked),
            Kind::Encoded => (format!("{ok}content-encoding: br\r\n"), good, chunked),
            Kind::Html => (html.into(), vec![HTML.into()], chunked),
            _ => return None,
        })
    }

    fn broken_answer(&self, kind: Kind) -> Option<Answer> {
        let (ok, good, chunked) = self.parts();
        let open = Framing::Chunked("");
        let raw = |text: &str| (text.to_owned(), Vec::new(), Framing::Raw);
        Some(match kind {
            Kind::Half => (ok, half(good), chunked),
            Kind::Cut | Kind::Stalls => (ok, half(good), open),
            Kind::Short => (ok, good, Framing::Length(10)),
            Kind::ResetAfterHead | Kind::HangsAfterHead => (ok, Vec::new(), open),
            Kind::Reset | Kind::Closes | Kind::Hangs => raw(""),
            Kind::ResetInHead => raw("HTTP/1.1 200 OK\r\ncontent-ty"),
            Kind::Junk => raw("220 smtp ready\r\n\r\n"),
            _ => return None,
        })
    }

    /// The parts of a good answer, in chunks.
    fn parts(&self) -> Answer {
        let (ok, good) = (self.ok(self.streamed), self.good(self.streamed));
        (ok, good, Framing::Chunked(END))
    }

    fn failure(&self, kind: Kind) -> Answer {
        let head = |status, more: &str| format!("HTTP/1.1 {status} Status\r\n{more}");
        let json = "content-type: application/json\r\n";
        let whole = Framing::Length(0);
        match kind {
            Kind::RetryAfter(status, after) => {
                let more = format!("{json}retry-after: {after}\r\n");
                (head(status, &more), vec![self.error(status, false)], whole)
            }
            Kind::HtmlStatus(status) => (
                head(status, "content-type: text/html\r\n"),
                vec![HTML.into()],
                whole,
            ),
            Kind::Bare(204) => (head(204, "\r\n"), Vec::new(), Framing::Raw),
            Kind::Bare(status) => (head(status, ""), Vec::new(), whole),
            Kind::NoModel => {
                let error = json!({ "error": { "message": format!("The model `{MODEL}` does not exist."), "type": "NotFoundError", "param": "model", "code": 404 } });
                (head(404, json), vec![error.to_string().into()], whole)
            }
            Kind::TooLong => {
                let error = json!({ "error": { "message": "This model's maximum context length is 512 tokens. However, you requested 4096 tokens. Please reduce the length of the messages.", "type": "BadRequestError", "param": null, "code": 400 } });
                (head(400, json), vec![error.to_string().into()], whole)
            }
            Kind::Redirect => (
                head(302, "location: http://127.0.0.1:9/\r\n"),
                vec![HTML.into()],
                whole,
            ),
            Kind::Status(status) => (head(status, json), vec![self.error(status, false)], whole),
            // All others are answers.
            _ => (head(500, ""), Vec::new(), whole),
        }
    }

    fn ok(&self, streamed: bool) -> String {
        let kind = match (streamed, self.claude) {
            (true, Some(ClaudeHost::Bedrock)) => "application/vnd.amazon.eventstream",
            (true, _) => "text/event-stream",
            _ => "application/json",
        };
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n")
    }

    fn error(&self, status: u16, is_event: bool) -> Vec<u8> {
        let message = format!("{} fails", self.member);
        let is_messages = self.claude.is_some() || self.path.starts_with("/v1/messages");
        let error = if is_messages {
            let kind = match status {
                400 => "invalid_request_error",
                429 => "rate_limit_error",
                _ => "overloaded_error",
            };
            json!({ "type": "error", "error": { "type": kind, "message": message } })
        } else {
            json!({ "error": { "message": message, "type": "error", "param": null, "code": status } })
        };
        match is_event {
            true if is_messages => self.event("error", &error),
            true => format!("data: {error}\n\n").into_bytes(),
            false => error.to_string().into_bytes(),
        }
    }

    fn event(&self, name: &str, data: &Value) -> Vec<u8> {
        let event = format!("event: {name}\ndata: {data}\n\n");
        match self.claude {
            Some(ClaudeHost::Bedrock) => bedrock_frame(event).to_vec(),
            _ => event.into_bytes(),
        }
    }

    /// Content with something in it.
    fn late(&self, odd: Vec<u8>) -> Vec<Vec<u8>> {
        let mut all = self.good(self.streamed);
        let at = all.len() / 2 + 1;
        all.insert(at.min(all.len()), odd);
        all
    }

    fn tokens(&self) -> impl Iterator<Item = String> {
        let filling = "x".repeat(self.filling);
        (0..3).map(move |n| format!("{}-{n} \u{e4}{filling} ", self.member))
    }

    /// What was asked for, in events, or in one part.
    fn good(&self, streamed: bool) -> Vec<Vec<u8>> {
        if self.claude.is_some() || self.path.starts_with("/v1/messages") {
            self.messages(streamed)
        } else if self.path == "/v1/embeddings" {
            let data = json!([{ "object": "embedding", "index": 0, "embedding": [0.1, 0.2] }]);
            vec![json!({ "object": "list", "data": data, "model": MODEL, "usage": { "prompt_tokens": 4, "total_tokens": 4 } }).to_string().into()]
        } else {
            self.chat(streamed)
        }
    }

    fn chat(&self, streamed: bool) -> Vec<Vec<u8>> {
        let usage = json!({ "prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14, "prompt_tokens_details": { "cached_tokens": 5 } });
        let answer = |object: &str, choices: Value| json!({ "id": "chat-1", "object": object, "created": 1, "model": MODEL, "choices": choices });
        if !streamed {
            let content: String = self.tokens().collect();
            let message = json!({ "role": "assistant", "content": content });
            let choice =
                json!({ "index": 0, "message": message, "text": "a", "finish_reason": "stop" });
            let mut whole = answer("chat.completion", json!([choice]));
            whole["usage"] = usage;
            return vec![whole.to_string().into()];
        }
        let chunk = |delta: Value, finish: Value| {
            answer(
                "chat.completion.chunk",
                json!([{ "index": 0, "delta": delta, "text": delta["content"], "finish_reason": finish }]),
            )
        };
        let mut all = vec![chunk(
            json!({ "role": "assistant", "content": "" }),
            Value::Null,
        )];
        all.extend(
            self.tokens()
                .map(|token| chunk(json!({ "content": token }), Value::Null)),
        );
        all.push(chunk(json!({}), json!("stop")));
        let mut last = answer("chat.completion.chunk", json!([]));
        last["usage"] = usage;
        all.push(last);
        let events = all
            .iter()
            .map(|event| format!("data: {event}\n\n").into_bytes());
        events.chain([b"data: [DONE]\n\n".to_vec()]).collect()
    }

    fn messages(&self, streamed: bool) -> Vec<Vec<u8>> {
        let message = |content: Value, stop: Value| json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": CLAUDE, "content": content, "stop_reason": stop, "stop_sequence": null, "usage": { "input_tokens": 9, "output_tokens": 3 } });
        if !streamed {
            let text: String = self.tokens().collect();
            let content = json!([{ "type": "text", "text": text }]);
            return vec![message(content, json!("end_turn")).to_string().into()];
        }
        let mut all = vec![
            json!({ "type": "message_start", "message": message(json!([]), Value::Null) }),
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
            json!({ "type": "ping" }),
        ];
        all.extend(self.tokens().map(|token| json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": token } })));
        all.extend([
            json!({ "type": "content_block_stop", "index": 0 }),
            json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null }, "usage": { "output_tokens": 3 } }),
            json!({ "type": "message_stop" }),
        ]);
        let events = all.iter();
        events
            .map(|event| self.event(event["type"].as_str().unwrap_or_default(), event))
            .collect()
    }
}

const INTERIM: &str = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";

const HTML: &str = "<html>not here</html>";

const ODD_HEADERS: &str = "server: uvicorn\r\nset-cookie: a=b\r\nset-cookie: c=d\r\nx-meridian-region: forged\r\nx-meridian-decision: forged\r\nx-meridian-retry: 1\r\nx-envoy-ratelimited: true\r\nretry-after: 9\r\nx-request-id: forged\r\nopenai-organization: ours\r\nendpoint-load-metrics: TEXT named_metrics.kv_cache_usage_perc=0.4, named_metrics.num_requests_waiting=7\r\nx-repeated: 1\r\nx-repeated: 2\r\nlocation: /elsewhere\r\n";

fn half(mut parts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    match parts.as_mut_slice() {
        [only] => only.truncate(only.len() / 2),
        several => {
            let left = several.len() / 2 + 1;
            parts.truncate(left);
        }
    }
    parts
}

fn garbled(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() / 2;
    if let Some(some) = bytes.get_mut(at..at + 3) {
        some.copy_from_slice(&[0xff, 0, b'{']);
    }
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}
