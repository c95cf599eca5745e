//! The plugin `egress`: on the way out to a provider, in a VM of its own. Only headers of an allow-list go on, what the provider
//! does not speak is translated ([`crate::claude`]), and an error about our credential stays here. Envoy adds the credential
//! behind it.

mod reservation;

use super::plugin::Plugin;
use crate::allowed_fields::Violation;
use crate::budget::{Estimate, estimate};
use crate::claude::{
    self, Ask, HostRequest, InvalidRequest, ResponseContext, Stream, TranslatedResponse, Usage,
    check_size,
};
use crate::edit::{Edit, Edited, edit};
use crate::egress::{self, EgressMode, Restriction, violates_jurisdiction};
use crate::egress_refusal::EgressRefusal;
use crate::host::{Action, Fact, Host, LogLevel, Side, text};
use crate::rename::rename;
use crate::worker::Worker;
use meridian_policy::FallbackName;
use meridian_policy::api::{self, Shape};
use meridian_policy::chain::Member;
use meridian_policy::egress_policy::EgressPolicy;
use meridian_policy::headers;
use reservation::Reservation;
use std::borrow::Cow;
use std::rc::Rc;

/// One request on its way out.
pub struct Request {
    /// Without one nothing leaves.
    policy: Option<Rc<EgressPolicy>>,
    path: String,
    /// The fields that the request may have, if they are restricted.
    restriction: Option<Restriction>,
    /// The betas of Anthropic's API that the caller names.
    betas: String,
    /// The caller's request that the provider is asked for, while it is asked.
    fallback_request: Option<(FallbackName, Vec<u8>)>,
    /// What is reserved of the budget for it.
    reserved: Option<Reservation>,
    /// The name that AWS gives the provider's error; empty without one.
    error_name: String,
    state: State,
}

/// Of Envoy's response flags, those of a provider that no connection leads to: none is healthy (UH), or they fail (UF).
const UNREACHABLE: u64 = 1 << 1 | 1 << 5;

/// The content type of a body in one piece.
const JSON: &str = "application/json";

/// The content type of a stream.
const EVENTS: &str = "text/event-stream; charset=utf-8";

enum State {
    /// It goes as it is, or is being held until it is whole.
    Going,
    /// What still comes goes as it is.
    AsItIs,
    /// Claude is asked; its answer is to come.
    Sent(ResponseContext),
    /// The answer is a stream.
    Streaming(Box<Stream>),
    /// The answer is held until it is whole. Its status.
    Held(ResponseContext, u16),
    /// Answered here: what follows is that answer.
    Stopped,
}

impl Plugin for Request {
    fn on_request_headers(&mut self, host: &dyn Host, worker: &mut Worker, ends: bool) -> Action {
        self.path = text(host, Side::Request, ":path");
        let Some(policy) = self.policy.clone() else {
            return self.stop(host, EgressRefusal::NoSuchApi);
        };
        let mode = match egress::mode(&policy, &self.path) {
            Ok(mode) => mode,
            Err(refusal) => return self.stop(host, refusal),
        };
        let definition = text(host, Side::Request, headers::DEFINITION);
        self.restriction = match Restriction::of(&policy, mode, &definition) {
            Ok(restriction) => restriction,
            Err(refusal) => {
                worker.metrics.mismatch(host, "fallback");
                return self.stop(host, refusal);
            }
        };
        if let Some(id) = host.header(Side::Request, "x-request-id") {
            let request = (policy.fallback.clone(), id);
            if !worker.fallbacks.begin(&request) {
                return self.asked_already(host);
            }
            self.fallback_request = Some(request);
        }
        let path = egress::without_query(&self.path);
        host.set_header(Side::Request, ":path", Some(path));
        self.betas = text(host, Side::Request, claude::BETA);
        remove_headers(host, Side::Request, |name| mode.allows_header(name));
        match mode {
            EgressMode::Passthrough | EgressMode::Rename(_) => {
                if let Err(refusal) = self.admit(host, worker, &policy, Estimate::default()) {
                    return self.stop(host, refusal);
                }
                let goes_as_it_is = mode == EgressMode::Passthrough && self.restriction.is_none();
                if goes_as_it_is || ends {
                    self.state = State::AsItIs;
                    return Action::Continue;
                }
                Action::Pause
            }
            mode if ends => self.whole(host, worker, mode, 0),
            mode => {
                let length = text(host, Side::Request, "content-length");
                self.hold(host, mode, length.parse().unwrap_or(0))
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
        match self.state {
            State::Going => self.request(host, worker, size, ends),
            _ => Action::Continue,
        }
    }

    fn on_request_trailers(&mut self, host: &dyn Host, worker: &mut Worker) -> Action {
        host.remove_trailers(Side::Request);
        match self.state {
            State::Going => self.request(host, worker, usize::MAX, true),
            _ => Action::Continue,
        }
    }

    fn on_response_headers(&mut self, host: &dyn Host, worker: &mut Worker, ends: bool) -> Action {
        if let State::Stopped = self.state {
            return Action::Continue;
        }
        let status = host.header(Side::Response, ":status").unwrap_or_default();
        self.error_name = text(host, Side::Response, "x-amzn-errortype");
        remove_headers(host, Side::Response, egress::allows_response_header);
        self.name_region(host);
        if never_left(host) {
            self.give_back(host);
        }
        let context = match &self.state {
            State::Sent(context) if !egress::is_redirect(&status) => context.clone(),
            _ => {
                return match egress::check_status(&status) {
                    Ok(()) => Action::Continue,
                    Err(refusal) => {
                        self.forget_cost();
                        self.stop(host, refusal)
                    }
                };
            }
        };
        let status = std::str::from_utf8(&status).ok();
        let status = status.and_then(|status| status.parse().ok()).unwrap_or(502);
        host.set_header(Side::Response, "content-length", None);
        if let Some(stream) = context.stream(status, now(host)) {
            host.set_header(Side::Response, "content-type", Some(EVENTS));
            self.state = State::Streaming(Box::new(stream));
            return Action::Continue;
        }
        if ends {
            // No body can be added to it. The plugin `router` does that, for all errors without one.
            let answer = context.whole(status, &self.error_name, &[], now(host));
            self.answered(host, worker, &answer);
            return Action::Continue;
        }
        self.state = State::Held(context, status);
        Action::Pause
    }

    fn on_response_body(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        size: usize,
        ends: bool,
    ) -> Action {
        match &mut self.state {
            State::Streaming(stream) => {
                let piece = host.body(Side::Response, 0, size);
                if let Cow::Owned(made) = stream.read(&piece) {
                    host.set_body(Side::Response, size, &made);
                }
            }
            State::Held(..) if !ends => return Action::Pause,
            State::Held(context, status) => {
                let (context, status) = (context.clone(), *status);
                self.answer(host, worker, &context, status, size);
            }
            State::Going | State::AsItIs | State::Sent(_) | State::Stopped => {}
        }
        Action::Continue
    }

    fn on_response_trailers(&mut self, host: &dyn Host, worker: &mut Worker) -> Action {
        host.remove_trailers(Side::Response);
        if let State::Held(context, status) = &self.state {
            let (context, status) = (context.clone(), *status);
            self.answer(host, worker, &context, status, usize::MAX);
        }
        Action::Continue
    }

    fn on_done(&mut self, host: &dyn Host, worker: &mut Worker) {
        if let State::Streaming(stream) = &self.state {
            self.note_usage(host, worker, &stream.usage());
        }
        self.settle(host, worker);
        if let Some(request) = self.fallback_request.take() {
            worker.fallbacks.end(request);
        }
    }
}

impl Request {
    /// A request under a policy.
    pub fn new(policy: Option<Rc<EgressPolicy>>) -> Self {
        Self {
            policy,
            path: String::new(),
            restriction: None,
            betas: String::new(),
            fallback_request: None,
            reserved: None,
            error_name: String::new(),
            state: State::Going,
        }
    }

    /// Past its limits a chain with no other member left asks its last member once more, also where that one has failed and others
    /// may still answer. The answer is on its way, or was invalid, and would be paid for twice.
    fn asked_already(&mut self, host: &dyn Host) -> Action {
        self.state = State::Stopped;
        host.reset();
        Action::Pause
    }

    /// A part of the request has come, or the last one.
    fn request(&mut self, host: &dyn Host, worker: &mut Worker, size: usize, ends: bool) -> Action {
        let policy = self.policy.clone();
        let mode = policy
            .as_ref()
            .map_or(Err(EgressRefusal::NoSuchApi), |policy| {
                egress::mode(policy, &self.path)
            });
        match mode {
            Ok(mode) if ends => self.whole(host, worker, mode, size),
            Ok(mode) => self.hold(host, mode, size),
            Err(refusal) => self.stop(host, refusal),
        }
    }

    /// Holds a request that is not whole, unless it is too large by now. `size`: what is known of it, in bytes.
    fn hold(&mut self, host: &dyn Host, mode: EgressMode<'_>, size: usize) -> Action {
        if let (Some(policy), EgressMode::Claude(claude, api)) = (&self.policy, mode)
            && let Err(invalid) = check_size(size, claude, &policy.fallback)
        {
            return self.refuse(host, &invalid, api.shape());
        }
        Action::Pause
    }

    /// The request goes on in the API that it has, with some of its bytes replaced.
    fn pass(&mut self, host: &dyn Host, body: &[u8], edits: Vec<Edit>) -> Action {
        self.state = State::AsItIs;
        if let Some(Edited { replaces, bytes }) = edit(body, edits) {
            let length = (body.len() - replaces + bytes.len()).to_string();
            host.set_header(Side::Request, "content-length", Some(&length));
            host.set_body(Side::Request, replaces, &bytes);
        }
        Action::Continue
    }

    /// Checks a whole request, and returns what is to be changed in it.
    fn check(&self, host: &dyn Host, body: &[u8]) -> Result<Vec<Edit>, Violation> {
        let Some(restriction) = &self.restriction else {
            return Ok(Vec::new());
        };
        let edits = restriction.check(&self.path, body)?;
        // The body has been read as UTF-8. The provider is not to read it in another encoding.
        host.set_header(Side::Request, "content-type", Some(JSON));
        Ok(edits)
    }

    fn whole(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        mode: EgressMode<'_>,
        size: usize,
    ) -> Action {
        let body = host.body(Side::Request, 0, size);
        let mut edits = match self.check(host, &body) {
            Ok(edits) => edits,
            Err(violation) => {
                self.give_back(host);
                return self.refuse(host, &not_allowed(&violation), api::shape(&self.path, []));
            }
        };
        if let EgressMode::Rename(renames) = mode {
            edits.extend(rename(&body, renames));
        }
        let (Some(policy), EgressMode::Claude(claude, api)) = (self.policy.clone(), mode) else {
            return self.pass(host, &body, edits);
        };
        let version = host.header(Side::Request, claude::VERSION.0);
        let version = version.as_deref().map(std::str::from_utf8);
        let ask = Ask {
            api,
            version: version.and_then(Result::ok),
            betas: &self.betas,
            claude,
            fallback: &policy.fallback,
        };
        let (request, context) = match ask.translate(body) {
            Ok(made) => made,
            Err(invalid) => return self.refuse(host, &invalid, api.shape()),
        };
        if let Err(refusal) = self.admit_claude(host, worker, &request) {
            return self.stop(host, refusal);
        }
        if let Some(reserved) = &mut self.reserved {
            reserved.note_sent(context.stream);
        }
        let HostRequest {
            path,
            version,
            betas,
            body,
            ..
        } = request;
        let set = |name, value: Option<&str>| host.set_header(Side::Request, name, value);
        set(":path", Some(&path));
        set(claude::VERSION.0, version.as_deref());
        set(claude::BETA, betas.as_deref());
        set("content-type", Some(JSON));
        set("content-length", Some(&body.len().to_string()));
        host.set_body(Side::Request, size, body.as_bytes());
        self.state = State::Sent(context);
        Action::Continue
    }

    /// Takes what a request to Claude may cost off the budget.
    fn admit_claude(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        request: &HostRequest,
    ) -> Result<(), EgressRefusal> {
        let Some(policy) = self.policy.clone() else {
            return Err(EgressRefusal::NoSuchApi);
        };
        let price = policy.price.as_ref();
        let estimate = price.map(|price| estimate(price, request.tokens, policy.context));
        self.admit(host, worker, &policy, estimate.unwrap_or_default())
    }

    fn admit(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        policy: &EgressPolicy,
        estimate: Estimate,
    ) -> Result<(), EgressRefusal> {
        self.reserved = Reservation::take(host, worker, policy, estimate)?;
        Ok(())
    }

    /// The answer says where it comes from, unless it is Envoy's own.
    fn name_region(&self, host: &dyn Host) {
        let member = self.member().filter(|_| is_providers(host));
        host.set_header(Side::Response, headers::REGION, member.as_deref());
    }

    /// The fallback, as a member of a chain.
    fn member(&self) -> Option<String> {
        let fallback = self.policy.as_ref()?.fallback.clone();
        Some(Member::Fallback(fallback).label())
    }

    /// The provider was not asked.
    fn give_back(&mut self, host: &dyn Host) {
        if let (Some(policy), Some(reserved)) = (&self.policy, self.reserved.take()) {
            reserved.give_back(host, policy);
        }
    }

    /// The reservation lasts no longer than the answer.
    fn settle(&mut self, host: &dyn Host, worker: &mut Worker) {
        if let (Some(policy), Some(reserved)) = (&self.policy, self.reserved.take()) {
            reserved.settle(host, worker, policy);
        }
    }

    /// The answer in one piece is whole.
    fn answer(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        context: &ResponseContext,
        status: u16,
        size: usize,
    ) {
        let body = host.body(Side::Response, 0, size);
        let answer = context.whole(status, &self.error_name, &body, now(host));
        self.answered(host, worker, &answer);
        if let Some(made) = answer.body {
            host.set_header(Side::Response, "content-type", Some(JSON));
            host.set_body(Side::Response, size, made.to_string().as_bytes());
        }
    }

    /// The answer in one piece is there. An error of the provider's has cost nothing.
    fn answered(&mut self, host: &dyn Host, worker: &mut Worker, answer: &TranslatedResponse) {
        self.state = State::AsItIs;
        host.set_header(Side::Response, ":status", Some(&answer.status.to_string()));
        if answer.status == 200 {
            self.note_usage(host, worker, &answer.usage);
        } else if is_providers(host) {
            self.forget_cost();
        }
    }

    /// What the provider refuses costs nothing.
    fn forget_cost(&mut self) {
        if let Some(reserved) = &mut self.reserved {
            reserved.forget_cost();
        }
    }

    /// The answer has reported its usage, and perhaps where it was made.
    fn note_usage(&mut self, host: &dyn Host, worker: &mut Worker, usage: &Usage) {
        let Some(policy) = &self.policy else { return };
        if let (Some(price), Some(reserved)) = (&policy.price, &mut self.reserved) {
            reserved.note_usage(price, usage);
        }
        let geo = usage.inference_geo.as_deref();
        let Some(geo) = geo.filter(|geo| violates_jurisdiction(policy, geo)) else {
            return;
        };
        worker
            .metrics
            .jurisdiction_violation(host, &policy.fallback);
        let id = self.fallback_request.as_ref().map(|(_, id)| id.as_slice());
        let id = String::from_utf8_lossy(id.unwrap_or_default());
        let (name, declared) = (&policy.fallback, &policy.jurisdiction);
        host.log(
            LogLevel::Error,
            &format!(
                "meridian: request {id}: the fallback {name} says that its answer was made in {geo:?}, and its \
                 jurisdiction is {declared:?}"
            ),
        );
    }

    /// The request itself is wrong.
    fn refuse(&mut self, host: &dyn Host, invalid: &InvalidRequest, shape: Shape) -> Action {
        self.state = State::Stopped;
        // Keeps Envoy's local-reply format away from the answer.
        host.set_header(Side::Request, headers::REFUSED, Some("1"));
        let headers = [("content-type", JSON)];
        let body = invalid.answer(shape).to_string();
        host.reply(invalid.status, &headers, body.as_bytes());
        Action::Pause
    }

    /// Plain text: the listener's local replies put it into the shape of the API that was spoken.
    fn stop(&mut self, host: &dyn Host, refusal: EgressRefusal) -> Action {
        self.state = State::Stopped;
        let header = match refusal {
            EgressRefusal::OverBudget(seconds) => Some(("retry-after", seconds.to_string())),
            // The provider has answered.
            EgressRefusal::OurCredential | EgressRefusal::Redirect => {
                self.member().map(|member| (headers::REGION, member))
            }
            EgressRefusal::NoSuchApi | EgressRefusal::UnknownDefinition => None,
        };
        let headers = header.iter();
        let headers: Vec<(&str, &str)> = headers
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        host.reply(refusal.status(), &headers, refusal.message().as_bytes());
        Action::Pause
    }
}

/// The answer to a request with a field that the fallback may not be given.
fn not_allowed(violation: &Violation) -> InvalidRequest {
    InvalidRequest {
        status: 400,
        param: violation.field.clone(),
        code: Some(violation.code()),
        message: format!(
            "{violation} (no region could serve this request, and the fallback may not be given this field)"
        ),
    }
}

/// Whether the answer is Envoy's own because the provider cannot be reached.
fn never_left(host: &dyn Host) -> bool {
    host.response_flags()
        .is_some_and(|flags| flags & UNREACHABLE != 0)
}

/// Whether the answer is the provider's. A request that the provider was asked for, and that Envoy gave up, may have been answered.
fn is_providers(host: &dyn Host) -> bool {
    let details = host.fact(Fact::ResponseDetails);
    details.is_none_or(|details| details == "via_upstream")
}

/// Removes the headers that are not allowed.
fn remove_headers(host: &dyn Host, side: Side, allows: impl Fn(&str) -> bool) {
    let headers = host.headers(side);
    let names = headers.iter().map(|(name, _)| name);
    for name in names.filter(|name| !allows(name)) {
        host.set_header(side, name, None);
    }
}

/// Seconds since the Unix epoch.
fn now(host: &dyn Host) -> u64 {
    host.now().as_secs()
}
