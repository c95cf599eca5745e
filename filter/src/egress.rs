//! The plugin root `egress`: on the way out to a provider, in a VM of its own. Only headers of an allow-list go on, what the
//! provider does not speak is translated ([`meridian_policy::claude`]), and a quarrel about our credential stays here. Envoy
//! adds the credential behind it.

use crate::{log, memory, metric};
use lru::LruCache;
use meridian_policy::FallbackName;
use meridian_policy::api::Shape;
use meridian_policy::budget::{Admitted, Estimate};
use meridian_policy::claude::{
    self, Addressed, Answer, Back, Caller, Claude, Refused, Stream, Usage,
};
use meridian_policy::egress::{self, EgressPolicy, Stopped, Way};
use meridian_policy::headers;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, LogLevel};
use serde_json::Value;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::rc::Rc;

/// One request on its way out.
pub struct Request {
    /// Without one nothing leaves.
    policy: Option<Rc<EgressPolicy>>,
    path: String,
    /// Which request of a caller's it is, while the provider is asked for it.
    asking: Option<Asking>,
    /// What is kept of the budget for it.
    kept: Option<Kept>,
    state: State,
}

/// A part of a budget.
struct Kept {
    admitted: Admitted,
    estimate: Estimate,
    /// What it has cost, as far as that is known.
    cost: u64,
}

/// A fallback, and the id of the request that it is asked for.
type Asking = (FallbackName, Vec<u8>);

thread_local! {
    /// What this worker's fallbacks are being asked.
    static ASKING: RefCell<HashSet<Asking>> = RefCell::default();
    /// What they were asked lately.
    static ASKED: RefCell<LruCache<Asking, ()>> = RefCell::new(LruCache::new(REMEMBERED));
}

/// So many requests are remembered: those of some seconds, for which others may still be asked.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// Of Envoy's response flags, those of a provider that no connection leads to: none is healthy (UH), or they fail (UF).
const UNREACHABLE: u64 = 1 << 1 | 1 << 5;

enum State {
    /// It goes as it is, or is being held until it is whole.
    Going,
    /// What still comes goes as it is.
    AsItIs,
    /// Claude is asked; its answer is to come.
    Asked(Back),
    /// The answer is a stream.
    Streaming(Box<Stream>),
    /// The answer is held until it is whole. Its status.
    Held(Back, u16),
    /// Answered here: what follows is that answer.
    Stopped,
}

impl Context for Request {
    fn on_done(&mut self) -> bool {
        if let State::Streaming(stream) = &self.state {
            self.took(&stream.usage());
        }
        self.settle();
        if let Some(asking) = self.asking.take() {
            ASKING.with_borrow_mut(|all| all.remove(&asking));
            ASKED.with_borrow_mut(|all| all.put(asking, ()));
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
            let before = ASKED.with_borrow(|all| all.contains(&asking));
            if before || !ASKING.with_borrow_mut(|all| all.insert(asking.clone())) {
                return self.asked_already();
            }
            self.asking = Some(asking);
        }
        for (name, _) in headers.iter().filter(|(name, _)| !way.lets_through(name)) {
            self.set_http_request_header(name, None);
        }
        match way {
            Way::AsItIs => match self.admit(&policy, Estimate::default()) {
                Ok(()) => {
                    self.state = State::AsItIs;
                    Action::Continue
                }
                Err(stopped) => self.stop(stopped),
            },
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
        if let State::Stopped = self.state {
            return Action::Continue;
        }
        if self.never_left() {
            self.give_back();
        }
        let State::Asked(back) = self.state else {
            return match egress::judge(&status) {
                Ok(()) => Action::Continue,
                Err(stopped) => self.stop(stopped),
            };
        };
        let status = std::str::from_utf8(&status).ok();
        let status = status.and_then(|status| status.parse().ok()).unwrap_or(502);
        self.set_http_response_header("content-length", None);
        if let Some(stream) = back.stream(status, now()) {
            self.set_http_response_header("content-type", Some(EVENTS));
            self.state = State::Streaming(Box::new(stream));
            return Action::Continue;
        }
        self.state = State::Held(back, status);
        if ends {
            let answer = back.whole(status, &self.error_name(), &[], now());
            self.answered(&answer);
            return Action::Continue;
        }
        Action::Pause
    }

    fn on_http_response_body(&mut self, size: usize, ends: bool) -> Action {
        match &mut self.state {
            State::Streaming(stream) => {
                let piece = hostcalls::get_buffer(BufferType::HttpResponseBody, 0, size);
                let piece = piece.ok().flatten().unwrap_or_default();
                if let Cow::Owned(made) = stream.read(&piece) {
                    self.set_http_response_body(0, size, &made);
                }
            }
            State::Held(..) if !ends => return Action::Pause,
            State::Held(back, status) => {
                let (back, status) = (*back, *status);
                self.answer(back, status, size);
            }
            State::Going | State::AsItIs | State::Asked(_) | State::Stopped => {}
        }
        Action::Continue
    }

    /// A body that is followed by trailers ends here.
    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        if let State::Held(back, status) = self.state {
            self.answer(back, status, usize::MAX);
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
            kept: None,
            state: State::Going,
        }
    }

    /// Past its limits a chain that has nobody else left asks its last member once more, also where that one has failed and others
    /// may still answer. The answer is on its way, or was none, and would be paid for twice.
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
            Way::Chat(claude) => (Shape::OpenAi, chat(&body, claude)),
        };
        let (addressed, back) = match made {
            Ok(made) => made,
            Err(refused) => return self.refuse(&refused.answer(shape)),
        };
        if let Err(stopped) = self.admit_claude(&addressed) {
            return self.stop(stopped);
        }
        if let Some(kept) = &mut self.kept {
            kept.cost = kept.estimate.unheard(back.stream);
        }
        let Addressed {
            path,
            version,
            body,
            ..
        } = addressed;
        self.set_http_request_header(":path", Some(&path));
        self.set_http_request_header(claude::VERSION.0, version.as_deref());
        self.set_http_request_header("content-length", Some(&body.len().to_string()));
        self.set_http_request_body(0, size, body.as_bytes());
        self.state = State::Asked(back);
        Action::Continue
    }

    fn native(
        &self,
        body: &[u8],
        claude: &Claude,
        path: &str,
    ) -> Result<(Addressed, Back), Refused> {
        let version = self.get_http_request_header_bytes(claude::VERSION.0);
        let version = version
            .as_deref()
            .and_then(|version| std::str::from_utf8(version).ok());
        let addressed = claude.address(claude::native(body)?, path, version);
        let back = Back {
            host: claude.host,
            caller: Caller::Messages,
            stream: addressed.stream,
        };
        Ok((addressed, back))
    }

    /// Takes what a request to Claude may cost off the budget.
    fn admit_claude(&mut self, addressed: &Addressed) -> Result<(), Stopped> {
        let Some(policy) = self.policy.clone() else {
            return Err(Stopped::NoSuchApi);
        };
        let price = policy.price;
        let estimate = price.map(|price| price.estimate(addressed.tokens, policy.context));
        self.admit(&policy, estimate.unwrap_or_default())
    }

    fn admit(&mut self, policy: &EgressPolicy, estimate: Estimate) -> Result<(), Stopped> {
        match memory::admit(policy, estimate) {
            Ok(admitted) => {
                self.kept = admitted.map(|admitted| Kept {
                    admitted,
                    estimate,
                    cost: 0,
                });
                Ok(())
            }
            Err(over) => {
                metric::over_budget(&policy.fallback, over.what);
                Err(Stopped::OverBudget(over.retry_after))
            }
        }
    }

    /// The provider was not asked.
    fn give_back(&mut self) {
        if let (Some(policy), Some(kept)) = (&self.policy, self.kept.take()) {
            memory::give_back(policy, kept.admitted);
        }
    }

    /// Whether the answer is Envoy's own because the provider cannot be reached.
    fn never_left(&self) -> bool {
        let flags = self.get_property(vec!["response", "flags"]);
        let flags = flags.and_then(|flags| flags.try_into().ok());
        flags.is_some_and(|flags| u64::from_le_bytes(flags) & UNREACHABLE != 0)
    }

    /// Whether the answer is the provider's. One that it was asked for, and that Envoy gave up, may have been made.
    fn is_providers(&self) -> bool {
        let details = self.get_property(vec!["response", "code_details"]);
        details.is_none_or(|details| details == b"via_upstream")
    }

    /// What the request was let in for is not kept any longer than the answer takes.
    fn settle(&mut self) {
        let (Some(policy), Some(kept)) = (&self.policy, self.kept.take()) else {
            return;
        };
        memory::settle(policy, kept.admitted, kept.cost);
        metric::spent(&policy.fallback, kept.cost);
    }

    /// The answer in one piece is whole.
    fn answer(&mut self, back: Back, status: u16, size: usize) {
        let body = hostcalls::get_buffer(BufferType::HttpResponseBody, 0, size);
        let body = body.ok().flatten().unwrap_or_default();
        let answer = back.whole(status, &self.error_name(), &body, now());
        self.answered(&answer);
        if let Some(made) = answer.body {
            self.set_http_response_header("content-type", Some("application/json"));
            self.set_http_response_body(0, size, made.to_string().as_bytes());
        }
    }

    /// The answer in one piece is there. One of the provider's that is an error has cost nothing.
    fn answered(&mut self, answer: &Answer) {
        self.state = State::AsItIs;
        self.set_status(answer.status);
        if answer.status == 200 {
            self.took(&answer.usage);
        } else if self.is_providers()
            && let Some(kept) = &mut self.kept
        {
            kept.cost = 0;
        }
    }

    /// The answer has told what it took, and perhaps where it was made.
    fn took(&mut self, usage: &Usage) {
        let Some(policy) = &self.policy else { return };
        if let (Some(price), Some(kept)) = (policy.price, &mut self.kept) {
            kept.cost = price.told(usage, kept.estimate);
        }
        let geo = usage.inference_geo.as_deref();
        if let Some(geo) = geo.filter(|geo| policy.is_misplaced(geo)) {
            metric::misplaced(&policy.fallback);
            let id = self.asking.as_ref().map(|(_, id)| id.as_slice());
            let id = String::from_utf8_lossy(id.unwrap_or_default());
            let (name, declared) = (&policy.fallback, &policy.jurisdiction);
            log(
                LogLevel::Error,
                &format!(
                    "meridian: request {id}: the fallback {name} says that its answer was made in {geo:?}, and its \
                     jurisdiction is {declared:?}"
                ),
            );
        }
    }

    /// What AWS calls an error.
    fn error_name(&self) -> String {
        let name = self.get_http_response_header_bytes("x-amzn-errortype");
        String::from_utf8_lossy(&name.unwrap_or_default()).into_owned()
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
        let retry_after = match stopped {
            Stopped::OverBudget(seconds) => Some(seconds.to_string()),
            Stopped::NoSuchApi | Stopped::OurCredential => None,
        };
        let retry_after = retry_after.as_deref();
        self.send_http_response(
            u32::from(stopped.status()),
            retry_after
                .map(|seconds| ("retry-after", seconds))
                .into_iter()
                .collect(),
            Some(stopped.message().as_bytes()),
        );
        Action::Pause
    }
}

fn chat(body: &[u8], claude: &Claude) -> Result<(Addressed, Back), Refused> {
    let asked = claude::request(body, claude)?;
    let back = Back {
        host: claude.host,
        caller: Caller::Chat {
            include_usage: asked.include_usage,
        },
        stream: asked.stream,
    };
    Ok((claude.address(asked.body, claude::MESSAGES, None), back))
}

/// The content type of a stream.
const EVENTS: &str = "text/event-stream; charset=utf-8";

/// Seconds since the Unix epoch.
fn now() -> u64 {
    memory::now_ms() / 1000
}
