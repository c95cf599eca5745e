//! The plugin `guard`: an upstream filter of every chain, once per attempt, where an attempt's own answer is seen, retried or not.
//! It holds an answer until the commit point ([`crate::guard`] says when that is), so that a failure before it goes to the next
//! region; it counts how each region answered, how soon and with how many tokens; and it notes when a region refuses requests for
//! lack of room.

use super::plugin::Plugin;
use crate::context;
use crate::guard::{ApiKind, Failure, HOLD_LIMIT, Judge, Release, Step, load_report};
use crate::host::{Action, Fact, Host, Side, text};
use crate::slots::is_failure;
use crate::worker::{AttemptLabels, ServerRequest, Worker, note_refusal};
use meridian_policy::guard_policy::GuardPolicy;
use meridian_policy::{RegionName, headers};
use std::rc::Rc;

/// A stream that waited less than this for its first content, in milliseconds, says nothing about its server.
pub const UNANSWERED_MS: u64 = 1000;

/// Of Envoy's response flags, those of a caller that has ended the connection (DC) or the stream (DR).
const CALLER_LEFT: u64 = 1 << 14 | 1 << 28;

/// One attempt.
#[derive(Default)]
pub struct Attempt {
    /// The stream's id.
    id: u32,
    policy: Rc<GuardPolicy>,
    /// When it began, by the worker's clock, in milliseconds.
    began: u64,
    labels: Rc<AttemptLabels>,
    kind: Option<ApiKind>,
    streamed: bool,
    state: State,
    /// How it ended is counted.
    is_counted: bool,
    /// It has no answer yet.
    waits: bool,
    /// It awaits its first token: attempts that did when this one started, including this one.
    queued: Option<u32>,
    /// It is at a server of this region.
    server: Option<ServerRequest>,
}

/// How far the answer is.
#[derive(Default)]
enum State {
    /// There is nothing to judge, or no more.
    #[default]
    Passing,
    /// The caller has nothing of it. How much of its body was read.
    Held(Judge, usize),
    /// A status of 400; its body is read for the reason.
    Refused,
    /// A stream of which the caller has a part.
    Watched(Watched),
    /// It has failed: what still comes is not passed on.
    Failed,
}

struct Watched {
    judge: Judge,
    /// What the server has sent and the caller has not got: part of an event.
    kept: Vec<u8>,
    /// What the caller has got, in bytes of the server's answer.
    released: u64,
}

impl Plugin for Attempt {
    fn on_request_headers(&mut self, host: &dyn Host, worker: &mut Worker, _: bool) -> Action {
        let header = |name| text(host, Side::Request, name);
        let labels = AttemptLabels {
            zone: header(headers::ZONE),
            model: header(headers::MODEL),
            lane: header(headers::LANE),
            to: host.fact(Fact::UpstreamRegion).unwrap_or_default(),
            request_id: header("x-request-id"),
            ..AttemptLabels::default()
        };
        self.began = worker.steady_ms(host);
        self.kind = ApiKind::of(&header(":path"));
        self.streamed = header(headers::STREAM) == "1";
        self.waits = true;
        worker.attempts.begin(&labels.request_id);
        if self.streamed {
            self.queued = Some(worker.paces.begin(&labels.to, &labels.model));
        }
        self.server = self.server_here(host, worker, &labels);
        self.labels = Rc::new(labels);
        let (name, value) = load_report::REQUEST_HEADER;
        host.set_header(Side::Request, name, Some(value));
        Action::Continue
    }

    fn on_response_headers(&mut self, host: &dyn Host, worker: &mut Worker, ends: bool) -> Action {
        let action = self.head(host, worker, ends);
        self.renew_deadline(host, worker, action, ends);
        action
    }

    fn on_response_body(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        size: usize,
        ends: bool,
    ) -> Action {
        let action = self.body(host, worker, size, ends);
        self.renew_deadline(host, worker, action, ends);
        action
    }

    fn on_response_trailers(&mut self, host: &dyn Host, worker: &mut Worker) -> Action {
        match std::mem::take(&mut self.state) {
            State::Held(mut judge, _) => match judge.read(&[], true) {
                Step::Fail(failure) => {
                    self.fail(host, worker, &failure);
                    // What is buffered may be out of reach by now: then the server's own body stays.
                    host.set_body(
                        Side::Response,
                        usize::MAX,
                        self.body_of(&failure).as_bytes(),
                    );
                }
                Step::Hold | Step::Release(_) => self.committed(host, worker, &judge),
            },
            // There is no body left for an error event.
            State::Watched(Watched { mut judge, .. }) => {
                if let Step::Release(Release {
                    broken: Some(failure),
                    ..
                }) = judge.read(&[], true)
                {
                    worker.broken(host, &self.labels, failure.label());
                }
                self.count_tokens(host, worker, &judge);
            }
            State::Refused => self.answered(host, worker, 400),
            State::Passing | State::Failed => {}
        }
        Action::Continue
    }

    /// The attempt is over. A stream that got no first content for a while, because its limit passed or the caller left, shows that
    /// its region has no room, as a refusal would. A caller that leaves while the region answers others has reasons of its own.
    fn on_done(&mut self, host: &dyn Host, worker: &mut Worker) {
        worker.idle.remove(self.id);
        self.stop_waiting(worker);
        let labels = self.labels.clone();
        if self.queued.take().is_some() {
            worker.paces.gone(&labels.to, &labels.model);
        }
        let waited = worker.steady_ms(host).saturating_sub(self.began);
        self.leave_server(host, worker, waited);
        if self.streamed && !self.is_counted && waited >= UNANSWERED_MS {
            worker.metrics.attempt(host, &labels, "unanswered");
            let AttemptLabels { model, to, .. } = labels.as_ref();
            if !caller_has_left(host) || !worker.paces.has_answered(to, model, self.began) {
                let part = worker.sheds.note_answer(host, to, model, true);
                note_refusal(host, to, model, part, None);
            }
        }
        if let State::Watched(watched) = &self.state {
            self.count_tokens(host, worker, &watched.judge);
            if !caller_has_left(host) {
                worker.broken(host, &labels, "cut");
            }
        }
    }
}

impl Attempt {
    /// An attempt of which nothing is known yet.
    pub fn new(id: u32, policy: Rc<GuardPolicy>) -> Self {
        Self {
            id,
            policy,
            ..Self::default()
        }
    }

    fn head(&mut self, host: &dyn Host, worker: &mut Worker, ends: bool) -> Action {
        self.note_load(host, worker);
        let status = text(host, Side::Response, ":status").parse().unwrap_or(0);
        let AttemptLabels {
            zone, model, to, ..
        } = self.labels.as_ref();
        if status == 400 && !ends && self.policy.may_fit_later(zone, model, to) {
            self.state = State::Refused;
            return Action::Pause;
        }
        let Some(mut judge) = self.judge(host, status) else {
            self.answered(host, worker, status);
            return Action::Continue;
        };
        if !ends {
            self.state = State::Held(judge, 0);
            return Action::Pause;
        }
        match judge.read(&[], true) {
            Step::Fail(failure) => self.fail(host, worker, &failure),
            Step::Hold | Step::Release(_) => self.answered(host, worker, status),
        }
        Action::Continue
    }

    /// Takes in the load that the server reports, and keeps it from the caller.
    fn note_load(&self, host: &dyn Host, worker: &mut Worker) {
        let load = load_report::read(&text(host, Side::Response, load_report::RESPONSE_HEADER));
        let labels = &self.labels;
        worker.metrics.load(host, labels, load);
        if let (Some(full), Some(above)) = (load.kv_cache, self.policy.above) {
            let AttemptLabels { model, to, .. } = labels.as_ref();
            worker.sheds.note_load(host, to, model, full, above);
        }
        host.set_header(Side::Response, load_report::RESPONSE_HEADER, None);
    }

    /// The judge of the answer; `None` for one that passes as it is. What is encoded cannot be read.
    fn judge(&self, host: &dyn Host, status: u16) -> Option<Judge> {
        let header = |name| text(host, Side::Response, name);
        let is_plain = matches!(header("content-encoding").as_str(), "" | "identity");
        let kind = self.kind.filter(|_| is_plain)?;
        Judge::begin(kind, status, &header("content-type"))
    }

    fn body(&mut self, host: &dyn Host, worker: &mut Worker, size: usize, ends: bool) -> Action {
        match std::mem::take(&mut self.state) {
            State::Passing => Action::Continue,
            State::Failed => {
                host.set_body(Side::Response, size, &[]);
                self.state = State::Failed;
                Action::Continue
            }
            State::Held(judge, read) => self.held(host, worker, judge, read, size, ends),
            State::Refused if !ends && size <= HOLD_LIMIT => {
                self.state = State::Refused;
                Action::Pause
            }
            State::Refused => {
                if context::is_too_long(&host.body(Side::Response, 0, size)) {
                    host.set_header(Side::Response, headers::RETRY, Some("context"));
                }
                self.answered(host, worker, 400);
                Action::Continue
            }
            State::Watched(watched) => {
                self.watched(host, worker, watched, size, ends);
                Action::Continue
            }
        }
    }

    /// What is passed on of a stream is a sign of life.
    fn renew_deadline(&self, host: &dyn Host, worker: &mut Worker, action: Action, ends: bool) {
        if ends {
            worker.idle.remove(self.id);
        } else if self.streamed
            && action == Action::Continue
            && let Some(limit) = self.policy.stream_idle_timeout_ms
        {
            let now = worker.steady_ms(host);
            worker.idle.renew(self.id, &self.labels, limit, now);
        }
    }

    /// The server that Envoy has sent an attempt to, if it is of this region's own pool.
    fn server_here(
        &self,
        host: &dyn Host,
        worker: &mut Worker,
        labels: &AttemptLabels,
    ) -> Option<ServerRequest> {
        let AttemptLabels { model, to, .. } = labels;
        if self.policy.region.as_ref().map(RegionName::as_str) != Some(to) {
            return None;
        }
        let header = |name| text(host, Side::Request, name);
        let address = host.fact(Fact::UpstreamAddress)?;
        // Later attempts must be at another server, whatever their slot.
        let is_first = matches!(header(headers::ATTEMPT).as_str(), "" | "1");
        if let Ok(slot) = header(headers::SLOT).parse()
            && is_first
        {
            worker.servers.learn(model, slot, &address);
        }
        let length = ["content-length", headers::LENGTH].map(header);
        let length = length.into_iter().find(|length| !length.is_empty());
        Some(worker.begin_at_server(host, model, &address, &length.unwrap_or_default()))
    }

    fn leave_server(&mut self, host: &dyn Host, worker: &mut Worker, waited: u64) {
        let Some(mut request) = self.server.take() else {
            return;
        };
        let was_overtaken =
            waited < UNANSWERED_MS && worker.attempts.was_answered_last(&self.labels.request_id);
        if !self.is_counted && !caller_has_left(host) && !was_overtaken {
            worker.server_failed(host, &mut request);
        }
        worker.end_at_server(host, request);
    }

    fn stop_waiting(&mut self, worker: &mut Worker) {
        if std::mem::take(&mut self.waits) {
            worker.attempts.end(&self.labels.request_id);
        }
    }

    /// Counts an answer by its status, and what it shows of the room that its region has.
    fn answered(&mut self, host: &dyn Host, worker: &mut Worker, status: u16) {
        self.is_counted = true;
        let outcome = match status {
            429 => "overloaded",
            500.. => "failed",
            _ => "answered",
        };
        let labels = self.labels.clone();
        let AttemptLabels {
            model,
            to,
            request_id,
            ..
        } = labels.as_ref();
        worker.metrics.attempt(host, &labels, outcome);
        self.stop_waiting(worker);
        self.mark_last(host, worker, status);
        if let Some(request) = &mut self.server {
            worker.server_answered(host, request, status);
        }
        if !is_failure(status) {
            worker.attempts.note_answered(request_id);
        }
        let refused = matches!(status, 429 | 503);
        let part = worker.sheds.note_answer(host, to, model, refused);
        if refused {
            // A date instead of seconds is ignored.
            let seconds = text(host, Side::Response, "retry-after").trim().parse();
            note_refusal(host, to, model, part, seconds.ok());
        }
    }

    /// An error of the zone's last fallback is final, unless another attempt may still be answered: Envoy waits for that one only
    /// if this answer would be retried. The fallback itself lets no request in twice.
    fn mark_last(&self, host: &dyn Host, worker: &Worker, status: u16) {
        let labels = self.labels.as_ref();
        let is_last = status >= 400 && self.policy.is_last(&labels.zone, &labels.to);
        let others_wait = worker.attempts.waits(&labels.request_id);
        let is_final = is_last && !others_wait;
        host.set_header(Side::Response, headers::FINAL, is_final.then_some("true"));
        if is_last && others_wait {
            host.set_header(Side::Response, headers::RETRY, Some("others"));
        }
    }

    /// More of an answer of which the caller has nothing yet. `size`: all of it that there is.
    fn held(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        mut judge: Judge,
        read: usize,
        size: usize,
        ends: bool,
    ) -> Action {
        let piece = host.body(Side::Response, read, size.saturating_sub(read));
        match judge.read(&piece, ends) {
            Step::Hold => {
                self.state = State::Held(judge, size);
                return Action::Pause;
            }
            Step::Fail(failure) => {
                self.fail(host, worker, &failure);
                host.set_body(Side::Response, size, self.body_of(&failure).as_bytes());
                self.state = State::Failed;
            }
            Step::Release(release) => {
                self.committed(host, worker, &judge);
                if judge.is_stream() {
                    // Its length may change.
                    host.set_header(Side::Response, "content-length", None);
                    let begun = Watched {
                        judge,
                        kept: Vec::new(),
                        released: 0,
                    };
                    let all = host.body(Side::Response, 0, size);
                    self.release(host, worker, begun, (all, size), release, ends);
                } else {
                    self.count_tokens(host, worker, &judge);
                }
            }
        }
        Action::Continue
    }

    fn watched(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        mut watched: Watched,
        size: usize,
        ends: bool,
    ) {
        let piece = host.body(Side::Response, 0, size);
        let step = watched.judge.read(&piece, ends);
        let mut all = std::mem::take(&mut watched.kept);
        all.extend_from_slice(&piece);
        match step {
            Step::Release(release) => {
                self.release(host, worker, watched, (all, size), release, ends);
            }
            // After the commit point nothing is held or fails as a whole.
            Step::Hold | Step::Fail(_) => {}
        }
    }

    /// Passes on what the caller gets of `all` that it has not got, in the place of the `size` bytes that Envoy has.
    fn release(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        mut watched: Watched,
        (mut all, size): (Vec<u8>, usize),
        release: Release,
        ends: bool,
    ) {
        let Release { until, add, broken } = release;
        let whole = all.len();
        let goes = usize::try_from(until.saturating_sub(watched.released))
            .unwrap_or(whole)
            .min(whole);
        watched.kept = all.split_off(goes);
        watched.released = until;
        all.extend_from_slice(add.as_bytes());
        if whole != size || !watched.kept.is_empty() || !add.is_empty() {
            host.set_body(Side::Response, size, &all);
        }
        if ends || broken.is_some() {
            self.count_tokens(host, worker, &watched.judge);
        }
        self.state = match broken {
            Some(failure) => {
                worker.broken(host, &self.labels, failure.label());
                State::Failed
            }
            None if ends => State::Passing,
            None => State::Watched(watched),
        };
    }

    /// From here on the answer is the caller's.
    fn committed(&mut self, host: &dyn Host, worker: &mut Worker, judge: &Judge) {
        self.answered(host, worker, 200);
        if !judge.is_stream() {
            return;
        }
        let now = worker.steady_ms(host);
        let took = now.saturating_sub(self.began);
        worker.metrics.first_token(host, &self.labels, took);
        if let Some(before) = self.queued.take() {
            let AttemptLabels { model, to, .. } = self.labels.as_ref();
            worker.paces.first_token(to, model, before, took, now);
        }
        if let Some(request) = &mut self.server {
            worker.server_first_token(host, request);
        }
    }

    fn count_tokens(&self, host: &dyn Host, worker: &mut Worker, judge: &Judge) {
        if let Some(usage) = judge.usage() {
            worker.metrics.tokens(host, &self.labels, usage);
        }
    }

    fn body_of(&self, failure: &Failure) -> String {
        self.kind.map(|kind| failure.body(kind)).unwrap_or_default()
    }

    /// The answer is invalid: its head becomes that of an error, for which the next region is asked. The caller gets it only
    /// if there is no other.
    fn fail(&mut self, host: &dyn Host, worker: &mut Worker, failure: &Failure) {
        let status = failure.status();
        host.set_header(Side::Response, ":status", Some(&status.to_string()));
        host.set_header(Side::Response, "content-type", Some("application/json"));
        host.set_header(Side::Response, "content-length", None);
        self.answered(host, worker, status);
        worker.failed(
            host,
            &self.labels,
            failure.label(),
            "before its first content",
        );
    }
}

/// Whether the caller has ended the request, by what Envoy says of it so far.
fn caller_has_left(host: &dyn Host) -> bool {
    host.response_flags()
        .is_some_and(|flags| flags & CALLER_LEFT != 0)
}
