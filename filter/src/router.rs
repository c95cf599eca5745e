//! The plugin root `router`: strips what callers may not send, has the policy decide, and sets the route headers.

use crate::{log, memory, pace, servers};
use meridian_policy::FilterPolicy;
use meridian_policy::answer::Answer;
use meridian_policy::api;
use meridian_policy::classify;
use meridian_policy::decide::{Admission, Admitted, Head, Here};
use meridian_policy::headers;
use meridian_policy::refusal::{Reason, Refusal};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// A policy and when it came.
pub struct Policy {
    policy: FilterPolicy,
    /// When its lease runs out, by this gateway's clock, in milliseconds since the Unix epoch.
    runs_out: Option<u64>,
}

impl Policy {
    pub fn arrived(policy: FilterPolicy) -> Rc<Self> {
        Rc::new(Self {
            runs_out: policy.lease.map(memory::lease_runs_out),
            policy,
        })
    }
}

/// One request on its way in.
pub struct Request {
    policy: Option<Rc<Policy>>,
    state: State,
    id: Vec<u8>,
}

enum State {
    /// Nothing was decided yet.
    Head,
    /// The zone is decided, by this policy; the body is being buffered.
    Body(Rc<Policy>, Admitted),
    /// On its way; why it goes there.
    Routed(String),
    /// Answered here.
    Answered,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let request = self.request_headers();
        let value = |name: &str| {
            request
                .iter()
                .find(|(header, _)| header == name)
                .map_or("", |(_, value)| value)
        };
        let (method, path) = (value(":method"), value(":path"));
        let Some(policy) = self.policy.clone() else {
            let reason = Reason::NoPolicy;
            let shape = api::shape(path, &request);
            return self.answer(&Refusal { reason, shape }.answer());
        };
        let source = self.source();
        for name in classify::untrusted(&policy.policy, source, &request) {
            self.set_http_request_header(name, None);
        }
        match policy.policy.admit(&Head {
            method,
            path,
            source,
            headers: &request,
        }) {
            Admission::Answer(answer) => self.answer(&answer),
            Admission::ReadBody(admitted) => {
                self.state = State::Body(policy, admitted);
                if end_of_stream {
                    self.decide()
                } else {
                    Action::Pause
                }
            }
        }
    }

    fn on_http_request_body(&mut self, _: usize, end_of_stream: bool) -> Action {
        match &self.state {
            State::Body(..) if !end_of_stream => Action::Pause,
            State::Body(..) => self.decide(),
            State::Head | State::Answered => Action::Pause,
            State::Routed(_) => Action::Continue,
        }
    }

    /// A body that is followed by trailers ends here.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        match &self.state {
            State::Body(..) => self.decide(),
            State::Head | State::Answered => Action::Pause,
            State::Routed(_) => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if let State::Routed(decision) = &self.state {
            self.set_http_response_header(headers::DECISION, Some(decision));
            let value = |name| self.get_http_response_header_bytes(name);
            let overloaded =
                value(":status").is_some_and(|status| status == b"429" || status == b"503");
            if overloaded && value("retry-after").is_none() {
                self.set_http_response_header("retry-after", Some(headers::RETRY_AFTER));
            }
        }
        Action::Continue
    }

    /// What the guard knows of the answer's end goes into the access log.
    fn on_log(&mut self) {
        if let Ok(id) = std::str::from_utf8(&self.id)
            && let Some(how) = memory::take_broken(id)
        {
            self.set_property(vec!["meridian_broken"], Some(how.as_bytes()));
        }
    }
}

impl Request {
    pub fn new(policy: Option<Rc<Policy>>) -> Self {
        Self {
            policy,
            state: State::Head,
            id: Vec::new(),
        }
    }

    /// The body is whole: picks the route, or refuses.
    fn decide(&mut self) -> Action {
        let id = self.get_http_request_header_bytes("x-request-id");
        self.id = id.unwrap_or_default();
        let State::Body(policy, admitted) = &self.state else {
            return Action::Continue;
        };
        let body = self
            .get_http_request_body(0, usize::MAX)
            .unwrap_or_default();
        let here = Here {
            request_id: &self.id,
            lease_ran_out: policy.runs_out.is_some_and(|end| memory::now_ms() >= end),
            cooling: &|region, model| memory::cooling(region.as_str(), model.as_str()),
            full: &|region, model| memory::full(region.as_str(), model.as_str()),
            pace: &|region, model| pace::of(region.as_str(), model.as_str()),
            slot: &|model, ask| servers::pick(model.as_str(), ask),
            now_ms: memory::steady_ms(),
        };
        let decision = match policy.policy.decide(admitted, &body, &here) {
            Ok(decision) => decision,
            Err(refusal) => return self.answer(&refusal),
        };
        for (name, value) in decision.route_headers() {
            self.set_http_request_header(name, Some(&value));
        }
        if self
            .get_http_request_header_bytes("content-length")
            .is_none()
        {
            let length = body.len().to_string();
            self.set_http_request_header(headers::LENGTH, Some(&length));
        }
        // Until now the route was the one that the caller's own headers picked: it must not be kept.
        match hostcalls::call_foreign_function("clear_route_cache", None) {
            Ok(_) => {
                self.state = State::Routed(decision.explain());
                Action::Continue
            }
            Err(status) => {
                log(
                    LogLevel::Error,
                    &format!("meridian: clear_route_cache: {status:?}"),
                );
                let refusal = Refusal {
                    reason: Reason::NoRoute,
                    shape: admitted.shape(),
                };
                self.answer(&refusal.answer())
            }
        }
    }

    fn answer(&mut self, answer: &Answer) -> Action {
        self.state = State::Answered;
        self.set_http_request_header(headers::REFUSED, Some("1"));
        let headers = answer
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.send_http_response(
            u32::from(answer.status),
            headers,
            Some(answer.body.as_bytes()),
        );
        Action::Pause
    }

    /// As text, whatever their bytes are: the SDK's own text form panics on a value that is not UTF-8.
    fn request_headers(&self) -> Vec<(String, String)> {
        let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
        self.get_http_request_headers_bytes()
            .into_iter()
            .map(|(name, value)| (name, text(value)))
            .collect()
    }

    /// The other end of the connection: Envoy's `source.address`, `ip:port`.
    fn source(&self) -> Option<IpAddr> {
        let address = String::from_utf8(self.get_property(vec!["source", "address"])?).ok()?;
        address
            .parse::<SocketAddr>()
            .map(|address| address.ip())
            .ok()
    }
}
