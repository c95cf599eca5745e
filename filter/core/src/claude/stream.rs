//! Translates a streamed response of a host for the caller.

use super::bedrock::Frames;
use super::chat::{Chat, Event};
use super::responses::Responses;
use super::usage::Usage;
use crate::guard::sse::Events;
use meridian_policy::egress_policy::ClaudeHost;
use std::borrow::Cow;

/// Bytes of a text event around its text: `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}`.
const TEXT_EVENT_OVERHEAD: usize = 80;
/// Minimum bytes of a token.
const MIN_TOKEN_BYTES: usize = 3;

/// Translates the stream of a host.
#[derive(Debug)]
pub struct Stream {
    /// Reads the frames of a host that does not send server-sent events.
    frames: Option<Frames>,
    events: Events,
    usage: Usage,
    /// Estimated completion tokens so far, until the response reports them.
    estimated_tokens: u64,
    has_reported_tokens: bool,
    /// Writes events for a caller of another API than Claude's.
    translator: Option<Translator>,
}

/// Writes the events of an API.
#[derive(Debug)]
pub(super) enum Translator {
    Chat(Chat),
    Responses(Responses),
}

impl Stream {
    /// Starts a stream. `translator`: for a caller of another API than Claude's.
    pub(super) fn new(host: ClaudeHost, translator: Option<Translator>) -> Self {
        Self {
            frames: (host == ClaudeHost::Bedrock).then(Frames::default),
            events: Events::default(),
            usage: Usage::default(),
            estimated_tokens: 0,
            has_reported_tokens: false,
            translator,
        }
    }

    /// Reads the next piece, and returns the bytes for the caller.
    pub fn read<'p>(&mut self, piece: &'p [u8]) -> Cow<'p, [u8]> {
        let piece = match &mut self.frames {
            None => Cow::Borrowed(piece),
            Some(frames) => Cow::Owned(frames.read(piece).into_bytes()),
        };
        let mut chunks = String::new();
        let mut events = std::mem::take(&mut self.events);
        events.read(&piece, |event| {
            if let Some(data) = event.data {
                let text = data.len().saturating_sub(TEXT_EVENT_OVERHEAD) / MIN_TOKEN_BYTES;
                self.estimated_tokens += 1 + text as u64;
            }
            // Without a translation only the events with usage matter.
            let has_usage = |data: &[u8]| {
                data.windows(USAGE_FIELD.len())
                    .any(|part| part == USAGE_FIELD)
            };
            if self.translator.is_some() || event.data.is_some_and(has_usage) {
                let event = event.data.map(serde_json::from_slice);
                self.event(event.and_then(Result::ok), &mut chunks);
            }
        });
        self.events = events;
        if self.translator.is_some() {
            Cow::Owned(chunks.into_bytes())
        } else {
            piece
        }
    }

    /// The usage so far: the reported completion tokens, or an estimate until they are reported.
    pub fn usage(&self) -> Usage {
        let mut usage = self.usage.clone();
        if !self.has_reported_tokens {
            usage.output_tokens = usage.output_tokens.max(Some(self.estimated_tokens));
        }
        usage
    }

    fn event(&mut self, event: Option<Event>, chunks: &mut String) {
        match &event {
            Some(Event::MessageStart { message }) => self.usage.note(&message.usage),
            Some(Event::MessageDelta { usage, .. }) => {
                self.usage.note(usage);
                self.has_reported_tokens |= usage.output_tokens.is_some();
            }
            _ => {}
        }
        match &mut self.translator {
            Some(Translator::Chat(chat)) => chat.read(event, &self.usage, chunks),
            Some(Translator::Responses(all)) => all.read(event, &self.usage, chunks),
            None => {}
        }
    }
}

/// A part of every event that reports usage.
const USAGE_FIELD: &[u8] = b"\"usage\"";
