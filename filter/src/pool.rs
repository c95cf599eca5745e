//! The plugin root `pool`: on requests that other gateways send, it picks the server. It decides nothing else, and forwards as it
//! is whatever it does not understand.

use crate::guard::UNANSWERED_MS;
use crate::memory;
use crate::servers::{self, Sent};
use meridian_policy::headers;
use meridian_policy::slots::{Ask, PoolPolicy, hash, is_failure, slot};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;
use std::rc::Rc;

/// A request of another gateway.
pub struct Request {
    policy: Rc<PoolPolicy>,
    model: String,
    /// What tells its bytes.
    length: String,
    streamed: bool,
    slot: u16,
    sent: Option<Sent>,
    /// Who is known to have it.
    address: Option<String>,
    /// When it came, in milliseconds since the Unix epoch.
    began: u64,
}

impl Request {
    pub fn new(policy: Rc<PoolPolicy>) -> Self {
        Self {
            policy,
            model: String::new(),
            length: String::new(),
            streamed: false,
            slot: 0,
            sent: None,
            address: None,
            began: memory::steady_ms(),
        }
    }

    fn begin(&mut self, address: String) {
        self.sent = Some(servers::begin(&self.model, &address, &self.length));
        self.address = Some(address);
    }
}

impl Context for Request {
    /// Why one is over without an answer is not told. Whoever has not begun a stream for a while has given it up, or was given up.
    fn on_done(&mut self) -> bool {
        let waited = memory::steady_ms().saturating_sub(self.began);
        if let Some(mut sent) = self.sent.take()
            && self.streamed
            && waited >= UNANSWERED_MS
        {
            sent.failed();
        }
        true
    }
}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let text = |name| {
            let value = self.get_http_request_header_bytes(name).unwrap_or_default();
            String::from_utf8_lossy(&value).into_owned()
        };
        let random = hash(text("x-request-id").as_bytes());
        let place = [headers::PLACE, headers::SLOT].map(|name| text(name).parse().ok());
        let place = place.into_iter().flatten().next();
        let length = ["content-length", headers::LENGTH].map(text);
        let length = length.into_iter().find(|length| !length.is_empty());
        let (model, length) = (text(headers::MODEL), length.unwrap_or_default());
        let streamed = text(headers::STREAM) == "1";
        (self.model, self.length, self.streamed) = (model, length, streamed);
        self.slot = servers::pick(
            &self.model,
            Ask {
                balance: self.policy.balance(&self.model),
                place: place.unwrap_or_else(|| slot(random)),
                random,
                now_ms: memory::steady_ms(),
            },
        );
        self.set_http_request_header(headers::SLOT, Some(&self.slot.to_string()));
        if let Some(address) = servers::address(&self.model, self.slot) {
            self.begin(address);
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let attempt = self.get_http_response_header_bytes(headers::ATTEMPT);
        let address = self.get_property(vec!["upstream", "address"]);
        let address = address.and_then(|address| String::from_utf8(address).ok());
        if let Some(address) = address.filter(|address| !address.is_empty()) {
            // Later ones must be at another server, whatever their slot.
            if attempt.is_none_or(|attempt| attempt == b"1") {
                servers::learn(&self.model, self.slot, &address);
            }
            if self.address.as_ref() != Some(&address) {
                self.begin(address);
            }
        }
        let status = self.get_http_response_header_bytes(":status");
        let status = String::from_utf8_lossy(&status.unwrap_or_default()).parse();
        let status = status.unwrap_or_default();
        // Servers write the head of a stream before they have anything to say.
        if let Some(sent) = &mut self.sent
            && (is_failure(status) || !self.streamed)
        {
            sent.answered(status);
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, _: bool) -> Action {
        if let Some(sent) = self.sent.as_mut().filter(|_| size > 0 && self.streamed) {
            sent.answered(200);
            sent.first_token();
        }
        Action::Continue
    }
}
