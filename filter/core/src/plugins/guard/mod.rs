//! The plugin `guard`: an upstream filter of every chain, once per attempt, where an attempt's own answer is seen, retried or not.
//! It holds an answer until the commit point ([`crate::guard`] says when that is), so that a failure before it goes to the next
//! region; it counts how each region answered, how soon and with how many tokens; and it notes when a region refuses requests for
//! lack of room.

mod attempt;

use super::plugin::Plugin;
use crate::context;
use crate::guard::encoding::{self, Decoder};
use crate::guard::{ApiKind, Failure, HOLD_LIMIT, Head, Judge, Release, Step, load_report};
use crate::host::{Action, Host, Side, caller_has_left, upstream_endpoint};
use crate::missing_model::is_missing_model;
use crate::worker::{AttemptRecord, Labels, Worker};
use attempt::Attempt;
use meridian_policy::api::{self, Shape};
use meridian_policy::chain::Member;
use meridian_policy::guard_policy::GuardPolicy;
use meridian_policy::headers;
use std::borrow::Cow;
use std::rc::Rc;

pub use attempt::UNANSWERED_MS;

/// Time for a server to end the stream of an invalid answer, in milliseconds. Then the guard resets the stream, which an HTTP/2 caller
/// sees as a cut. Servers end their streams within a millisecond; a busy machine took longer once in 1,200 requests.
const FAILED_STREAM_GRACE_MS: u64 = 250;

/// The guard of one attempt.
#[derive(Default)]
pub struct Guard {
    /// The stream's id.
    id: u32,
    attempt: Attempt,
    kind: Option<ApiKind>,
    /// The shape of the API's errors.
    shape: Shape,
    /// The body is encoded, though the guard asked for no encoding.
    decoder: Option<Decoder>,
    /// Bytes of the body that are still to come, where its head says how many there are. Envoy shows the end of a body by a piece of
    /// its own, which is empty.
    remaining: Option<usize>,
    state: State,
}

/// How far the answer is.
#[derive(Default)]
enum State {
    /// There is nothing to judge, or no more.
    #[default]
    Passing,
    /// The caller has nothing of it, and Envoy nothing of its body.
    Held(Judge),
    /// A status of 400 or 404; its body, which is read for the reason. Envoy has nothing of it.
    Refused(u16, Vec<u8>),
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

impl Plugin for Guard {
    fn on_request_headers(&mut self, host: &dyn Host, worker: &mut Worker, _: bool) -> Action {
        let request = host.headers(Side::Request);
        let [zone, model, lane] = [headers::ZONE, headers::MODEL, headers::LANE]
            .map(|name| request.first(name).unwrap_or_default());
        let (to, address) = upstream_endpoint(host);
        let record = Rc::new(AttemptRecord {
            labels: worker.labels.of(zone, model, lane, &to),
            request: request.text(headers::REQUEST).parse().unwrap_or_default(),
            request_id: request.text("x-request-id").into_owned(),
            address,
            began: worker.steady_ms(host),
            ..AttemptRecord::default()
        });
        let path = request.text(":path");
        self.kind = ApiKind::of(&path);
        self.shape = api::shape(&path, []);
        self.attempt.streamed = request.text(headers::STREAM) == "1";
        self.attempt.waits = true;
        let is_hedge = worker.attempts.waits(record.request);
        worker.hedges.note(is_hedge, record.began);
        worker.attempts.begin(record.request);
        let (pool, streamed) = (&record.labels.pool, self.attempt.streamed);
        self.attempt.awaited = Some(worker.paces.begin(pool, streamed, record.began));
        self.attempt.server = self.attempt.server_here(host, worker, &record, &request);
        worker.attempt_log.begin(&record);
        self.attempt.record = record;
        let (name, value) = load_report::REQUEST_HEADER;
        host.set_header(Side::Request, name, Some(value));
        self.mark_too_long(host, worker);
        if self.kind.is_some() {
            let (name, value) = encoding::REQUEST_HEADER;
            host.set_header(Side::Request, name, Some(value));
        }
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
        self.note_rate(host, worker, size, ends);
        action
    }

    fn on_response_trailers(&mut self, host: &dyn Host, worker: &mut Worker) -> Action {
        host.remove_trailers(Side::Response);
        match std::mem::take(&mut self.state) {
            // A withheld body has no place before trailers. They come from no server: Envoy asks HTTP/1 upstreams for none.
            state @ (State::Held(_) | State::Refused(..)) => {
                let failure = match state {
                    State::Held(judge) if judge.is_redirect() => Failure::Redirect,
                    _ => Failure::Malformed,
                };
                self.attempt.fail(host, worker, &failure);
                let json = [("content-type", "application/json")];
                host.reply(failure.status(), &json, self.body_of(&failure).as_bytes());
                return Action::Pause;
            }
            // There is no body left for an error event.
            State::Watched(Watched { mut judge, .. }) => {
                if let Step::Release(Release {
                    broken: Some(failure),
                    ..
                }) = judge.read(&[], true)
                {
                    worker.broken(host, &self.attempt.record, failure.label());
                }
                self.attempt.count_tokens(host, &judge);
            }
            State::Passing | State::Failed => {}
        }
        Action::Continue
    }

    /// The attempt is over. One that got no answer for a while shows that its region has no room, as a refusal would.
    fn on_done(&mut self, host: &dyn Host, worker: &mut Worker) {
        worker.idle.remove(self.id);
        worker.trickles.remove(self.id);
        self.attempt.stop_waiting(worker);
        let record = self.attempt.record.clone();
        if let Some(awaited) = self.attempt.awaited.take() {
            worker.paces.gone(&record.labels.pool, awaited);
        }
        let now = worker.steady_ms(host);
        let waited = now.saturating_sub(record.began);
        self.attempt.note_end(host, worker, now);
        self.attempt.leave_server(host, worker, waited);
        if !self.attempt.is_counted && waited >= UNANSWERED_MS {
            self.attempt.unanswered(host, worker);
        }
        if let State::Watched(watched) = &self.state {
            self.attempt.count_tokens(host, &watched.judge);
            if !caller_has_left(host) {
                worker.broken(host, &record, "cut");
            }
        }
    }
}

impl Guard {
    /// Of an attempt of which nothing is known yet.
    pub fn new(id: u32, policy: Rc<GuardPolicy>) -> Self {
        Self {
            id,
            attempt: Attempt {
                policy,
                ..Attempt::default()
            },
            ..Self::default()
        }
    }

    /// Tells a peer that the prompt is too long for its pool, where a context that is no smaller was too small for it: it refuses the
    /// request without asking a server. Envoy offers no way to leave a member out.
    fn mark_too_long(&self, host: &dyn Host, worker: &Worker) {
        if let Some(most) = worker.too_long.of(self.attempt.record.request) {
            let Labels { model, to, .. } = self.attempt.record.labels.as_ref();
            let context = self.attempt.policy.context(model, to);
            let mark = context.filter(|context| *context <= most).map(|_| "1");
            host.set_header(Side::Request, headers::TOO_LONG, mark);
        }
    }

    fn head(&mut self, host: &dyn Host, worker: &mut Worker, ends: bool) -> Action {
        let response = host.headers(Side::Response);
        self.attempt.name_region(host);
        self.attempt.take_internal_headers(host, worker, &response);
        let status = response.text(":status").parse().unwrap_or(0);
        let Labels {
            zone, model, to, ..
        } = self.attempt.record.labels.as_ref();
        // A peer that does not know the definition of the request's zone, or does not take it from this gateway.
        if self.attempt.asks_on(host, &response, status) && matches!(status, 403 | 404) {
            worker.metrics.mismatch(host, "peer");
        }
        let depends_on_reason = match status {
            400 => self.attempt.policy.may_fit_later(zone, model, to),
            // A provider's models are not those of the fleet file.
            404 => self.kind.is_some() && !Member::is_fallback(to),
            _ => false,
        };
        self.remaining = response.text("content-length").parse().ok();
        if depends_on_reason && !ends {
            self.state = State::Refused(status, Vec::new());
            return Action::Pause;
        }
        let (content_type, mut content_encoding) = (
            response.text("content-type"),
            response.text("content-encoding"),
        );
        self.decoder = self.kind.and_then(|_| Decoder::of(&content_encoding));
        if self.decoder.is_some() {
            content_encoding = Cow::Borrowed("");
            host.set_header(Side::Response, "content-encoding", None);
            host.set_header(Side::Response, "content-length", None);
        }
        let head = Head {
            status,
            content_type: &content_type,
            content_encoding: &content_encoding,
        };
        let judge = Judge::begin(self.kind, self.attempt.streamed, &head);
        let Some(mut judge) = judge else {
            self.attempt.answered(host, worker, status);
            return Action::Continue;
        };
        if !ends {
            self.state = State::Held(judge);
            return Action::Pause;
        }
        match judge.read(&[], true) {
            Step::Fail(failure) => {
                self.attempt.fail(host, worker, &failure);
            }
            Step::Hold | Step::Release(_) => {
                self.attempt.answered(host, worker, status);
            }
        }
        Action::Continue
    }

    fn body(&mut self, host: &dyn Host, worker: &mut Worker, size: usize, ends: bool) -> Action {
        let is_held = matches!(self.state, State::Held(_) | State::Refused(..));
        if is_held && self.attempt.record.ended.get().is_some() {
            // It came too slowly, and its head has gone on as that of an error without a body.
            self.state = State::Failed;
            return Action::Withhold;
        }
        match std::mem::take(&mut self.state) {
            State::Passing if self.decoder.is_none() => Action::Continue,
            State::Passing => {
                // Nothing of an answer that passes can be taken back.
                let piece = self.piece(host, size).unwrap_or_default();
                host.set_body(Side::Response, size, &piece);
                Action::Continue
            }
            State::Failed => {
                host.set_body(Side::Response, size, &[]);
                self.state = State::Failed;
                Action::Continue
            }
            State::Held(judge) => {
                let ends = self.note_piece(size) || ends;
                self.held(host, worker, judge, size, ends)
            }
            State::Refused(status, mut body) => {
                let ends = self.note_piece(size) || ends;
                body.extend(self.piece(host, size).unwrap_or_default());
                if !ends && body.len() <= HOLD_LIMIT {
                    self.state = State::Refused(status, body);
                    return Action::Withhold;
                }
                self.refused(host, worker, (status, &body), size)
            }
            State::Watched(watched) => {
                self.watched(host, worker, watched, size, ends);
                Action::Continue
            }
        }
    }

    /// A piece of a body comes. Whether nothing but the end follows it.
    fn note_piece(&mut self, size: usize) -> bool {
        self.remaining = self
            .remaining
            .and_then(|remaining| remaining.checked_sub(size));
        self.remaining == Some(0)
    }

    /// An error whose reason decides whether the next member is asked: the prompt is too long for this one, or its servers do not have
    /// the model. `size`: of the piece that came.
    fn refused(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        (status, body): (u16, &[u8]),
        size: usize,
    ) -> Action {
        if status == 404 && is_missing_model(body) {
            return self.fail(host, worker, &Failure::NoModel, size);
        }
        if status == 400 && context::is_too_long(body) {
            host.set_header(Side::Response, headers::RETRY, Some("context"));
            let AttemptRecord {
                labels, request, ..
            } = self.attempt.record.as_ref();
            if let Some(context) = self.attempt.policy.context(&labels.model, &labels.to) {
                worker.too_long.note(*request, context);
            }
        }
        if self.attempt.answered(host, worker, status) {
            return self.leave(host);
        }
        host.set_body(Side::Response, size, body);
        Action::Continue
    }

    /// An error takes the place of an answer of which the caller has nothing. `size`: of the piece that came.
    fn fail(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        failure: &Failure,
        size: usize,
    ) -> Action {
        if self.attempt.fail(host, worker, failure) {
            return self.leave(host);
        }
        let body = self.body_of(failure);
        // The server's stream may stay open: the caller knows from the length where the error ends.
        host.set_header(
            Side::Response,
            "content-length",
            Some(&body.len().to_string()),
        );
        host.set_body(Side::Response, size, body.as_bytes());
        self.state = State::Failed;
        Action::Continue
    }

    /// The piece of the body that came, decoded.
    fn piece(&mut self, host: &dyn Host, size: usize) -> Result<Vec<u8>, Failure> {
        let piece = host.body(Side::Response, 0, size);
        match &mut self.decoder {
            Some(decoder) => decoder.read(&piece).map_err(|_| Failure::Malformed),
            None => Ok(piece),
        }
    }

    /// Envoy drops the answer and waits for the others. It must get nothing of the body: it would take that for the body of the one
    /// that it waits for.
    fn leave(&mut self, host: &dyn Host) -> Action {
        self.state = State::Failed;
        host.release_headers();
        Action::Withhold
    }

    /// What is passed on of a stream is a sign of life. Nothing good follows a failure: the server's stream is ended soon, but not
    /// before an end of its own has had the time to come: an HTTP/2 caller would take the error for cut off.
    fn renew_deadline(&self, host: &dyn Host, worker: &mut Worker, action: Action, ends: bool) {
        let limit = match self.state {
            _ if ends => None,
            State::Failed => Some(FAILED_STREAM_GRACE_MS),
            _ if self.attempt.streamed && action == Action::Continue => {
                self.attempt.policy.stream_idle_timeout_ms
            }
            _ => return,
        };
        match limit {
            Some(limit) => {
                let now = worker.steady_ms(host);
                worker.idle.renew(self.id, &self.attempt.record, limit, now);
            }
            None => worker.idle.remove(self.id),
        }
    }

    /// A piece counts for the rate of the answer, from the first content of a stream and from the first byte of any other answer on.
    fn note_rate(&self, host: &dyn Host, worker: &mut Worker, size: usize, ends: bool) {
        let is_awaited = match &self.state {
            State::Held(judge) => judge.is_stream(),
            State::Failed => true,
            State::Passing | State::Refused(..) | State::Watched(_) => self.kind.is_none(),
        };
        if ends {
            worker.trickles.remove(self.id);
        } else if let Some(least) = self.attempt.least_rate()
            && !is_awaited
            && !worker.trickles.add(self.id, size)
        {
            let now = worker.steady_ms(host);
            let record = &self.attempt.record;
            worker.trickles.begin(self.id, record, least, size, now);
        }
    }

    /// More of an answer of which the caller has nothing yet. `size`: of the piece that came.
    fn held(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        mut judge: Judge,
        size: usize,
        ends: bool,
    ) -> Action {
        let step = match self.piece(host, size) {
            Ok(piece) => judge.read(&piece, ends),
            Err(failure) => Step::Fail(failure),
        };
        match step {
            Step::Hold => {
                self.state = State::Held(judge);
                return Action::Withhold;
            }
            Step::Fail(failure) => return self.fail(host, worker, &failure, size),
            Step::Release(release) => {
                self.attempt.committed(host, worker, &judge);
                let all = judge.take_held();
                if judge.is_stream() {
                    // Its length may change.
                    host.set_header(Side::Response, "content-length", None);
                    let begun = Watched {
                        judge,
                        kept: Vec::new(),
                        released: 0,
                    };
                    self.release(host, worker, begun, (all, size), release, ends);
                } else {
                    // Envoy has the last piece alone, as it came.
                    if all.len() != size || self.decoder.is_some() {
                        host.set_body(Side::Response, size, &all);
                    }
                    self.attempt.count_tokens(host, &judge);
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
        let mut all = std::mem::take(&mut watched.kept);
        let step = match (self.piece(host, size), self.kind) {
            (Ok(piece), _) => {
                all.extend_from_slice(&piece);
                watched.judge.read(&piece, ends)
            }
            (Err(failure), kind) => Step::Release(Release {
                until: watched.released,
                add: kind.map(|kind| failure.event(kind)).unwrap_or_default(),
                broken: Some(failure),
            }),
        };
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
        if whole != size || !watched.kept.is_empty() || !add.is_empty() || self.decoder.is_some() {
            host.set_body(Side::Response, size, &all);
        }
        if ends || broken.is_some() {
            self.attempt.count_tokens(host, &watched.judge);
        }
        self.state = match broken {
            Some(failure) => {
                worker.broken(host, &self.attempt.record, failure.label());
                State::Failed
            }
            None if ends => State::Passing,
            None => State::Watched(watched),
        };
    }

    fn body_of(&self, failure: &Failure) -> String {
        failure.body(self.shape)
    }
}
