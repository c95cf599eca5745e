//! The plugin root `egress`: on the way out to a provider, in a VM of its own. Only headers of an allow-list go on, what the
//! provider does not speak is translated ([`meridian_policy::claude`]), and a quarrel about our credential stays here. Envoy
//! adds the credential behind it.

use crate::memory;
use meridian_policy::FallbackName;
use meridian_policy::api::Shape;
use meridian_policy::claude::{self, Addressed, Claude, Refused, Stream};
use meridian_policy::egress::{self, EgressPolicy, Stopped, Way};
use meridian_policy::headers;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

/// One request on its way out.
pub struct Request {
    /// Without one nothing leaves.
    policy: Option<Rc<EgressPolicy>>,
    path: String,
    /// Which request of a caller's it is, while the provider is asked for it.
    asking: Option<Asking>,
    state: State,
}

/// A fallback, and the id of the request that it is asked for.
type Asking = (FallbackName, Vec<u8>);

thread_local! {
    /// What this worker's fallbacks are being asked.
    static ASKING: RefCell<HashSet<Asking>> = RefCell::default();
}

enum State {
    /// It goes as it is, or is being held until it is whole.
    Going,
    /// It went as it was, and so does its answer.
    AsItWas,
    /// It was translated; its answer is to come.
    Translated { stream: bool, include_usage: bool },
    /// The answer is a stream.
    Streaming(Box<Stream>),
    /// The answer is held until it is whole. Its status.
    Held(u16),
    /// Answered here: what follows is that answer.
    Stopped,
}

impl Context for Request {
    fn on_done(&mut self) -> bool {
        if let Some(asking) = self.asking.take() {
            ASKING.with_borrow_mut(|all| all.remove(&asking));
        }
        true
    }
}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, ends: bool) -> Action {
        let headers = self.get_http_request_headers_bytes();
        let path = headers.iter().find(|(name, _)| name == ":path");
        self.path = path
            .map(|(_, path)| String::from_utf8_lossy(path).into_owned())
            .unwrap_or_default();
        let Some(policy) = self.policy.clone() else {
            return self.stop(Stopped::NoSuchApi);
        };
        let way = match policy.provider.admit(&self.path) {
            Ok(way) => way,
            Err(stopped) => return self.stop(stopped),
        };
        let id = headers.iter().find(|(name, _)| name == "x-request-id");
        if let Some((_, id)) = id {
            let asking = (policy.fallback.clone(), id.clone());
            if !ASKING.with_borrow_mut(|all| all.insert(asking.clone())) {
                return self.asked_already();
            }
            self.asking = Some(asking);
        }
        for (name, _) in headers.iter().filter(|(name, _)| !way.lets_through(name)) {
            self.set_http_request_header(name, None);
        }
        match way {
            Way::AsItIs => {
                self.state = State::AsItWas;
                Action::Continue
            }
            way if ends => self.whole(way, 0),
            _ => Action::Pause,
        }
    }

    fn on_http_request_body(&mut self, size: usize, ends: bool) -> Action {
        match self.state {
            State::Going if !ends => Action::Pause,
            State::Going => self.request(size),
            _ => Action::Continue,
        }
    }

    /// A body that is followed by trailers ends here.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        match self.state {
            State::Going => self.request(usize::MAX),
            _ => Action::Continue,
        }
    }

    fn on_http_response_headers(&mut self, _: usize, ends: bool) -> Action {
        let status = self
            .get_http_response_header_bytes(":status")
            .unwrap_or_default();
        match self.state {
            State::AsItWas => match egress::judge(&status) {
                Ok(()) => Action::Continue,
                Err(stopped) => self.stop(stopped),
            },
            State::Translated {
                stream,
                include_usage,
            } => {
                self.set_http_response_header("content-length", None);
                let status = std::str::from_utf8(&status).ok();
                let status = status.and_then(|status| status.parse().ok()).unwrap_or(502);
                if stream && status == 200 {
                    self.state = State::Streaming(Box::new(Stream::new(now(), include_usage)));
                    return Action::Continue;
                }
                self.state = State::Held(status);
                if ends {
                    self.set_status(claude::error(status, &[]).0);
                    return Action::Continue;
                }
                Action::Pause
            }
            _ => Action::Continue,
        }
    }

    fn on_http_response_body(&mut self, size: usize, ends: bool) -> Action {
        match &mut self.state {
            State::Streaming(stream) => {
                let piece = hostcalls::get_buffer(BufferType::HttpResponseBody, 0, size);
                let piece = piece.ok().flatten().unwrap_or_default();
                let chunks = stream.read(&piece);
                self.set_http_response_body(0, size, chunks.as_bytes());
            }
            State::Held(_) if !ends => return Action::Pause,
            State::Held(status) => {
                let status = *status;
                self.answer(status, size);
            }
            _ => {}
        }
        Action::Continue
    }

    /// A body that is followed by trailers ends here.
    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        if let State::Held(status) = self.state {
            self.answer(status, usize::MAX);
        }
        Action::Continue
    }
}

impl Request {
    pub fn new(policy: Option<Rc<EgressPolicy>>) -> Self {
        Self {
            policy,
            path: String::new(),
            asking: None,
            state: State::Going,
        }
    }

    /// Past its limits a chain that has nobody else left asks its last member once more. The answer is on its way, and would be
    /// paid for twice.
    fn asked_already(&mut self) -> Action {
        self.state = State::Stopped;
        self.reset_http_request();
        Action::Pause
    }

    /// The request is whole.
    fn request(&mut self, size: usize) -> Action {
        let policy = self.policy.clone();
        let way = policy.as_ref().map_or(Err(Stopped::NoSuchApi), |policy| {
            policy.provider.admit(&self.path)
        });
        match way {
            Ok(way) => self.whole(way, size),
            Err(stopped) => self.stop(stopped),
        }
    }

    fn whole(&mut self, way: Way<'_>, size: usize) -> Action {
        let body = hostcalls::get_buffer(BufferType::HttpRequestBody, 0, size);
        let body = body.ok().flatten().unwrap_or_default();
        let (shape, made) = match way {
            Way::AsItIs => return Action::Continue,
            Way::Messages(claude, path) => (Shape::Anthropic, self.native(&body, claude, path)),
            Way::Chat(claude) => (Shape::OpenAi, self.translated(&body, claude)),
        };
        match made {
            Ok(Addressed {
                path,
                version,
                body,
            }) => {
                self.set_http_request_header(":path", Some(&path));
                self.set_http_request_header(claude::VERSION.0, version.as_deref());
                self.set_http_request_header("content-length", Some(&body.len().to_string()));
                self.set_http_request_body(0, size, body.as_bytes());
                Action::Continue
            }
            Err(refused) => self.refuse(&refused.answer(shape)),
        }
    }

    fn native(&mut self, body: &[u8], claude: &Claude, path: &str) -> Result<Addressed, Refused> {
        let version = self.get_http_request_header_bytes(claude::VERSION.0);
        let version = version
            .as_deref()
            .and_then(|version| std::str::from_utf8(version).ok());
        let addressed = claude.address(claude::native(body)?, path, version);
        self.state = State::AsItWas;
        Ok(addressed)
    }

    fn translated(&mut self, body: &[u8], claude: &Claude) -> Result<Addressed, Refused> {
        let asked = claude::request(body, claude)?;
        self.state = State::Translated {
            stream: asked.stream,
            include_usage: asked.include_usage,
        };
        Ok(claude.address(asked.body, claude::MESSAGES, None))
    }

    /// The answer in one piece is whole.
    fn answer(&mut self, status: u16, size: usize) {
        let body = hostcalls::get_buffer(BufferType::HttpResponseBody, 0, size);
        let body = body.ok().flatten().unwrap_or_default();
        let answer = (status == 200).then(|| claude::answer(&body, now()));
        let (status, made) = match answer {
            Some(Some(answer)) => (200, answer),
            // Something is there, and no answer.
            Some(None) => claude::error(502, &body),
            None => claude::error(status, &body),
        };
        self.set_status(status);
        self.set_http_response_header("content-type", Some("application/json"));
        self.set_http_response_body(0, size, made.to_string().as_bytes());
        self.state = State::AsItWas;
    }

    fn set_status(&self, status: u16) {
        self.set_http_response_header(":status", Some(&status.to_string()));
    }

    /// The request is what is wrong.
    fn refuse(&mut self, answer: &Value) -> Action {
        self.state = State::Stopped;
        // Keeps Envoy's local-reply format away from the answer.
        self.set_http_request_header(headers::REFUSED, Some("1"));
        self.send_http_response(
            400,
            vec![("content-type", "application/json")],
            Some(answer.to_string().as_bytes()),
        );
        Action::Pause
    }

    /// Plain text: the listener's local replies put it into the shape of the API that was spoken.
    fn stop(&mut self, stopped: Stopped) -> Action {
        self.state = State::Stopped;
        self.send_http_response(
            u32::from(stopped.status()),
            vec![],
            Some(stopped.message().as_bytes()),
        );
        Action::Pause
    }
}

/// Seconds since the Unix epoch.
fn now() -> u64 {
    memory::now_ms() / 1000
}
