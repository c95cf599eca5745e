//! The plugin root `guard`: an upstream filter of every chain, once per attempt, where an attempt's own answer is seen,
//! retried or not. It counts what each region answered and how soon, and tells the router of this Envoy when a region
//! refuses requests for lack of room.

use crate::memory;
use crate::metric;
use meridian_policy::headers;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

/// One attempt.
#[derive(Default)]
pub struct Attempt {
    /// When it began, in milliseconds since the Unix epoch.
    began: u64,
    zone: String,
    model: String,
    lane: String,
    streamed: bool,
    /// Who was asked: a region or `fallback/<name>`. Known once there is an answer.
    to: String,
    saw_content: bool,
}

impl Context for Attempt {}

impl HttpContext for Attempt {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let text = |name| {
            let value = self.get_http_request_header_bytes(name).unwrap_or_default();
            String::from_utf8_lossy(&value).into_owned()
        };
        *self = Self {
            began: memory::now_ms(),
            zone: text(headers::ZONE),
            model: text(headers::MODEL),
            lane: text(headers::LANE),
            streamed: text(headers::STREAM) == "1",
            ..Self::default()
        };
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let to = self.get_property(vec![
            "xds",
            "upstream_host_metadata",
            "filter_metadata",
            "meridian",
            "region",
        ]);
        self.to = String::from_utf8_lossy(&to.unwrap_or_default()).into_owned();
        let header = |name| {
            self.get_http_response_header_bytes(name)
                .unwrap_or_default()
        };
        let status = header(":status");
        let outcome = match status.as_slice() {
            b"429" => "overloaded",
            [b'5', ..] => "failed",
            _ => "answered",
        };
        let Self {
            zone,
            model,
            lane,
            to,
            ..
        } = &*self;
        metric::attempt(zone, model, lane, to, outcome);
        let refused = matches!(status.as_slice(), b"429" | b"503");
        let part = memory::note_answer(to, model, refused);
        if refused {
            let retry_after = String::from_utf8(header("retry-after")).ok();
            // A date instead of seconds says nothing here.
            let seconds = retry_after.and_then(|seconds| seconds.trim().parse().ok());
            memory::note_refusal(to, model, part, seconds);
        }
        self.streamed &= status.starts_with(b"2");
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _: bool) -> Action {
        if self.streamed && size > 0 && !self.saw_content {
            self.saw_content = true;
            metric::first_token(
                &self.model,
                &self.to,
                memory::now_ms().saturating_sub(self.began),
            );
        }
        Action::Continue
    }
}
