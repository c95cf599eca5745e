//! The plugin root `router`: strips what callers may not send, has the policy decide, and sets the route headers.

use meridian_policy::FilterPolicy;
use meridian_policy::api;
use meridian_policy::classify;
use meridian_policy::decide::{Admission, Admitted, Answer, Head};
use meridian_policy::headers;
use meridian_policy::refusal::{Reason, Refusal};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// One plugin configuration. Without a policy every request is refused.
#[derive(Default)]
pub struct Root {
    policy: Option<Rc<FilterPolicy>>,
}

impl Context for Root {}

impl RootContext for Root {
    /// `false` makes Envoy reject the configuration and keep the one before.
    fn on_configure(&mut self, size: usize) -> bool {
        if size == 0 {
            return true;
        }
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        match serde_json::from_slice(&configuration) {
            Ok(policy) => {
                self.policy = Some(Rc::new(policy));
                true
            }
            Err(error) => {
                log(
                    LogLevel::Error,
                    &format!("meridian: the filter's policy is refused: {error}"),
                );
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request {
            policy: self.policy.clone(),
            state: State::Head,
        }))
    }
}

/// One request on its way in.
struct Request {
    policy: Option<Rc<FilterPolicy>>,
    state: State,
}

enum State {
    /// Nothing was decided yet.
    Head,
    /// The zone is decided; the body is being buffered.
    Body(Admitted),
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
            return self.answer(
                &Refusal {
                    reason,
                    shape: api::shape(path, &request),
                }
                .answer(),
            );
        };
        let source = self.source();
        for name in classify::untrusted(&policy, source, &request) {
            self.set_http_request_header(name, None);
        }
        match policy.admit(&Head {
            method,
            path,
            source,
            headers: &request,
        }) {
            Admission::Answer(answer) => self.answer(&answer),
            Admission::ReadBody(admitted) => {
                self.state = State::Body(admitted);
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
            State::Body(_) if !end_of_stream => Action::Pause,
            State::Body(_) => self.decide(),
            State::Answered => Action::Pause,
            State::Head | State::Routed(_) => Action::Continue,
        }
    }

    /// A body that is followed by trailers ends here.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        match &self.state {
            State::Body(_) => self.decide(),
            State::Answered => Action::Pause,
            State::Head | State::Routed(_) => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if let State::Routed(decision) = &self.state {
            self.set_http_response_header(headers::DECISION, Some(decision));
        }
        Action::Continue
    }
}

impl Request {
    /// The body is whole: picks the route, or refuses.
    fn decide(&mut self) -> Action {
        let State::Body(admitted) = &self.state else {
            return Action::Continue;
        };
        let Some(policy) = self.policy.clone() else {
            return Action::Continue;
        };
        let body = self
            .get_http_request_body(0, usize::MAX)
            .unwrap_or_default();
        match policy.decide(admitted, &body) {
            Err(refusal) => self.answer(&refusal),
            Ok(decision) => {
                for (name, value) in decision.route_headers() {
                    self.set_http_request_header(name, Some(value));
                }
                // The route that carried the body's limit is left for the one that these headers pick.
                if let Err(status) = hostcalls::call_foreign_function("clear_route_cache", None) {
                    log(
                        LogLevel::Error,
                        &format!("meridian: clear_route_cache: {status:?}"),
                    );
                }
                self.state = State::Routed(decision.explain());
                Action::Continue
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

fn log(level: LogLevel, message: &str) {
    // A log line that is lost is no reason to fail.
    let _ = hostcalls::log(level, message);
}
