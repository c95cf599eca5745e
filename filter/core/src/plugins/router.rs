//! The plugin `router`: removes what callers may not send, decides, and sets the route headers.

use super::plugin::Plugin;
use crate::answer::Answer;
use crate::decision::Decision;
use crate::host::{Action, Fact, Host, LogLevel, Side, caller_has_left, text};
use crate::refusal::{Reason, Refusal};
use crate::request::{Head, RequestContext};
use crate::router::{Admission, Admitted, Router};
use crate::worker::{
    AttemptEnd, HeldBody, Worker, attempts_text, is_only_answered, lease_expires, loaded, refused,
    tokens_text,
};
use meridian_policy::api::{self, Shape};
use meridian_policy::filter_policy::{FilterPolicy, Lane};
use meridian_policy::headers::{self, SAMPLED};
use meridian_policy::retry::is_retried;
use meridian_policy::{NO_ROUTE, ZoneName};
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// A policy, compiled, and until when its lease runs.
#[derive(Debug)]
pub struct Policy {
    router: Router,
    /// By the worker's clock, in milliseconds.
    expires: Option<u64>,
}

impl Policy {
    /// A policy that comes now.
    pub fn arrived(host: &dyn Host, worker: &mut Worker, policy: FilterPolicy) -> Self {
        let expires = policy.lease;
        Self {
            expires: expires.map(|lease| lease_expires(host, worker, lease)),
            router: Router::new(policy),
        }
    }
}

/// One request on its way in.
pub struct Request {
    policy: Option<Rc<Policy>>,
    state: State,
    /// The stream's id.
    stream: u32,
    /// [`headers::REQUEST`]; 0 before the decision.
    number: u64,
    /// [`headers::REPORT`].
    report: Option<&'static str>,
    /// The control plane is told of it: it is refused, or is for a fallback.
    is_notable: bool,
    /// What Envoy holds of its body, until the request is over: an attempt may be repeated.
    body: HeldBody,
}

enum State {
    /// Nothing was decided yet.
    Head,
    /// The zone is decided; the body is being buffered.
    Body(PendingRequest),
    /// There is no room for its body. It is refused when the body ends: many clients that cannot send all of it read no answer.
    TooMuch(Shape),
    /// On its way.
    Routed(Routed),
    /// An error has come, and perhaps its body will. Its status.
    Failed(u16),
    /// The answer passes as it is.
    Passed,
    /// Answered here.
    Answered,
}

/// A request whose body is being buffered.
struct PendingRequest {
    /// The policy that has decided its zone.
    policy: Rc<Policy>,
    admitted: Admitted,
    /// Its id.
    id: String,
    /// Its head says how long its body is.
    has_length: bool,
}

/// A request that is on its way.
struct Routed {
    /// Why it goes there.
    decision: String,
    /// The caller's zone.
    zone: ZoneName,
    /// The field for which nobody else is asked.
    stays: Option<&'static str>,
    /// The shape in which its caller is told.
    shape: Shape,
}

impl Plugin for Request {
    fn on_request_headers(&mut self, host: &dyn Host, worker: &mut Worker, ends: bool) -> Action {
        let request = host.headers(Side::Request);
        let value = |name: &str| request.first(name).unwrap_or_default();
        let (method, path) = (value(":method"), value(":path"));
        let Some(policy) = self.policy.clone() else {
            let shape = api::shape(path, request.iter().map(|(name, _)| name));
            return self.refuse(host, Reason::NoPolicy, shape);
        };
        let source = source(host);
        for name in policy.router.untrusted(source, &request) {
            host.set_header(Side::Request, name, None);
        }
        self.report = worker.reports.mark();
        if let Some(report) = self.report {
            host.set_header(Side::Request, headers::REPORT, Some(report));
        }
        match policy.router.admit(&Head {
            method,
            path,
            source,
            headers: &request,
        }) {
            Admission::Answer(answer) => self.answer(host, &answer),
            Admission::ReadBody(admitted) => {
                let (id, length) = (value("x-request-id"), value("content-length"));
                self.state = State::Body(PendingRequest {
                    id: id.to_owned(),
                    has_length: !length.is_empty(),
                    policy,
                    admitted,
                });
                if ends {
                    self.decide(host, worker)
                } else {
                    Action::Pause
                }
            }
        }
    }

    fn on_request_body(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        size: usize,
        ends: bool,
    ) -> Action {
        self.hold(host, worker, size);
        match &self.state {
            State::TooMuch(_) if !ends => Action::Withhold,
            &State::TooMuch(shape) => self.refuse(host, Reason::Full, shape),
            State::Body(..) if !ends => Action::Pause,
            State::Body(..) => self.decide(host, worker),
            State::Head | State::Answered => Action::Pause,
            State::Routed(_) | State::Failed(_) | State::Passed => Action::Continue,
        }
    }

    fn on_request_trailers(&mut self, host: &dyn Host, worker: &mut Worker) -> Action {
        match &self.state {
            &State::TooMuch(shape) => self.refuse(host, Reason::Full, shape),
            State::Body(..) => self.decide(host, worker),
            State::Head | State::Answered => Action::Pause,
            State::Routed(_) | State::Failed(_) | State::Passed => Action::Continue,
        }
    }

    fn on_response_headers(&mut self, host: &dyn Host, worker: &mut Worker, ends: bool) -> Action {
        let State::Routed(Routed {
            decision,
            zone,
            stays,
            shape,
        }) = &self.state
        else {
            return Action::Continue;
        };
        let shape = *shape;
        host.set_header(Side::Response, headers::DECISION, Some(decision));
        if worker.attempt_log.is_answered(self.number) {
            return Action::Continue;
        }
        let status = text(host, Side::Response, ":status").parse().unwrap_or(200);
        if matches!(status, 429 | 503) {
            let said = text(host, Side::Response, "retry-after").trim().parse();
            worker.retry_after.note(self.number, said.ok());
            let soonest = worker.retry_after.take(self.number);
            let soonest =
                soonest.map_or(headers::RETRY_AFTER.into(), |seconds| seconds.to_string());
            host.set_header(Side::Response, "retry-after", Some(&soonest));
        }
        if status < 400 {
            return Action::Continue;
        }
        if status == 503 && host.fact(Fact::RouteName).as_deref() == Some(NO_ROUTE) {
            worker.metrics.mismatch(host, "route");
            let zone = zone.clone();
            return self.refuse(host, Reason::Mismatch { zone }, shape);
        }
        if let Some(field) = stays.filter(|_| is_retried(status)) {
            return self.refuse(host, Reason::Lost { field }, shape);
        }
        if ends || text(host, Side::Response, "content-length") == "0" {
            return self.explain(host, status);
        }
        self.state = State::Failed(status);
        Action::Pause
    }

    fn on_response_body(
        &mut self,
        host: &dyn Host,
        _: &mut Worker,
        size: usize,
        ends: bool,
    ) -> Action {
        match self.state {
            State::Failed(status) if size == 0 && ends => self.explain(host, status),
            State::Failed(_) if size == 0 => Action::Pause,
            State::Failed(_) => {
                self.state = State::Passed;
                Action::Continue
            }
            _ => Action::Continue,
        }
    }

    fn on_response_trailers(&mut self, host: &dyn Host, _: &mut Worker) -> Action {
        match self.state {
            State::Failed(status) => self.explain(host, status),
            _ => Action::Continue,
        }
    }

    fn on_done(&mut self, _: &dyn Host, worker: &mut Worker) {
        worker.bodies.release(&mut self.body);
    }

    /// What the guard saw of the request's attempts, and how its answer broke off, goes into the access log.
    fn on_log(&mut self, host: &dyn Host, worker: &mut Worker) {
        if let Some(how) = worker.attempts.take_broken(self.number) {
            host.set_log_field("meridian_broken", how);
        }
        let attempts = worker.attempt_log.take(self.number);
        let is_plain = attempts.is_empty() || is_only_answered(&attempts);
        if !is_plain {
            let unfinished = if caller_has_left(host) {
                AttemptEnd::LEFT
            } else {
                AttemptEnd::RESET
            };
            let text = attempts_text(&attempts, unfinished, worker.steady_ms(host));
            host.set_log_field("meridian_attempts", &text);
        }
        let is_notable = self.report.is_none() && (self.is_notable || !is_plain);
        if is_notable {
            worker.reports.note_notable();
        }
        if (is_notable || self.report == Some(SAMPLED))
            && let Some(tokens) = tokens_text(&attempts)
        {
            host.set_log_field("meridian_tokens", &tokens);
        }
    }
}

impl Request {
    /// A request under a policy.
    pub fn new(stream: u32, policy: Option<Rc<Policy>>) -> Self {
        Self {
            policy,
            state: State::Head,
            stream,
            number: 0,
            report: None,
            is_notable: false,
            body: HeldBody::default(),
        }
    }

    /// More of the body is held, if there is room for it. `size`: with what came before.
    fn hold(&mut self, host: &dyn Host, worker: &mut Worker, size: usize) {
        if let State::Body(pending) = &self.state
            && !worker
                .bodies
                .hold(&mut self.body, size, pending.policy.router.bodies())
        {
            worker.bodies.release(&mut self.body);
            host.set_body(Side::Request, size, &[]);
            self.state = State::TooMuch(pending.admitted.shape());
        }
    }

    /// The body is whole: picks the route, or refuses.
    fn decide(&mut self, host: &dyn Host, worker: &mut Worker) -> Action {
        let State::Body(waiting) = &self.state else {
            return Action::Continue;
        };
        let PendingRequest {
            policy,
            admitted,
            id,
            has_length,
        } = waiting;
        let body = host.body(Side::Request, 0, usize::MAX);
        let now = worker.steady_ms(host);
        let hedges_used_up = worker.hedges.are_used_up();
        let worker = RefCell::new(worker);
        let context = RequestContext {
            request_id: id.as_bytes(),
            lease_ran_out: policy.expires.is_some_and(|end| now >= end),
            refused: &|pool| refused(host, pool),
            loaded: &|pool| loaded(host, pool),
            pace: &|pool| worker.borrow().paces.of(pool),
            hedges_used_up,
            breaker: &|pool| worker.borrow().breakers.unavailable(host, pool),
            may_probe: &|pool| worker.borrow_mut().breakers.may_probe(host, pool),
            begins: &|pool, begins| worker.borrow_mut().note_beginning(pool, begins, now),
            slot: &|model, ask| worker.borrow_mut().pick_slot(host, model.as_str(), ask),
            now_ms: now,
        };
        let decision = match policy.router.decide(admitted, &body, &context) {
            Ok(decision) => decision,
            Err(answer) => return self.answer(host, &answer),
        };
        set_route_headers(host, &policy.router, &decision);
        self.number = number(self.stream, now);
        self.is_notable = decision.lane == Lane::Fallback;
        host.set_header(
            Side::Request,
            headers::REQUEST,
            Some(&self.number.to_string()),
        );
        if !has_length {
            let length = body.len().to_string();
            host.set_header(Side::Request, headers::LENGTH, Some(&length));
        }
        // Until now the route was the one that the caller's own headers picked: it must not be kept.
        let shape = admitted.shape();
        if host.clear_route_cache() {
            self.state = State::Routed(Routed {
                decision: decision.explain(),
                stays: decision.stays(),
                zone: decision.caller.zone,
                shape,
            });
            return Action::Continue;
        }
        host.log(
            LogLevel::Error,
            "meridian: the route cache cannot be cleared",
        );
        self.refuse(host, Reason::NoRoute, shape)
    }

    /// An error has no body: callers' clients want one. Envoy's local replies put the message into the shape of the API.
    fn explain(&mut self, host: &dyn Host, status: u16) -> Action {
        self.state = State::Answered;
        let headers = host.headers(Side::Response);
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .filter(|(name, _)| !name.starts_with(':') && !name.starts_with("content-"))
            .collect();
        let message = format!("The server answered with the status {status} and no body.");
        host.reply(status, &headers, message.as_bytes());
        Action::Pause
    }

    fn refuse(&mut self, host: &dyn Host, reason: Reason, shape: Shape) -> Action {
        self.answer(host, &Refusal { reason, shape }.answer())
    }

    fn answer(&mut self, host: &dyn Host, answer: &Answer) -> Action {
        self.state = State::Answered;
        self.is_notable = answer.status >= 400;
        host.set_header(Side::Request, headers::REFUSED, Some("1"));
        let headers = answer.headers.iter();
        let headers: Vec<(&str, &str)> = headers
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        host.reply(answer.status, &headers, answer.body.as_bytes());
        Action::Pause
    }
}

/// A number for the request of a stream. Streams of one VM have different ids; the time tells those of several VMs apart, of which
/// a new version of the filter makes a second one.
fn number(stream: u32, now_ms: u64) -> u64 {
    now_ms << 22 | u64::from(stream & MOST_STREAMS)
}

/// The largest number of a stream that a request's number can have.
pub const MOST_STREAMS: u32 = 0x3f_ffff;

/// The number of the request of a stream, or of which it is an attempt, by the header [`headers::REQUEST`], and the number of the request's
/// stream in it.
pub fn request_of(host: &dyn Host) -> Option<(u64, u32)> {
    let number: u64 = text(host, Side::Request, headers::REQUEST).parse().ok()?;
    let stream = u32::try_from(number & u64::from(MOST_STREAMS)).ok()?;
    Some((number, stream))
}

/// Sets the headers by which the request is routed.
fn set_route_headers(host: &dyn Host, router: &Router, decision: &Decision) {
    for (name, value) in decision.route_headers() {
        host.set_header(Side::Request, name, Some(&value));
    }
    if router.refuses_remote_content(&decision.caller.zone) {
        // The body has been read as UTF-8. The server is not to read it in another encoding.
        host.set_header(Side::Request, "content-type", Some("application/json"));
    }
}

/// The other end of the connection.
fn source(host: &dyn Host) -> Option<IpAddr> {
    let address: SocketAddr = host.fact(Fact::SourceAddress)?.parse().ok()?;
    Some(address.ip())
}
