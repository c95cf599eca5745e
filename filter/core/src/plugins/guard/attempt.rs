//! One attempt: what it is about, and what its answer shows of its server and of the room that its region has.

use crate::breaker::Fault;
use crate::guard::{Failure, Judge, load_report};
use crate::header_map::HeaderMap;
use crate::host::{Fact, Host, Side, caller_has_left, text};
use crate::pace::Awaited;
use crate::slots::is_failure;
use crate::worker::{
    AttemptEnd, AttemptRecord, Labels, LeastRate, ServerRequest, Worker, note_refusal,
};
use meridian_policy::chain::Member;
use meridian_policy::guard_policy::GuardPolicy;
use meridian_policy::retry::is_retried;
use meridian_policy::{RegionName, headers};
use std::rc::Rc;

/// A stream that waited less than this for its first content, in milliseconds, says nothing about its server.
pub const UNANSWERED_MS: u64 = 1000;

/// One attempt.
#[derive(Default)]
pub struct Attempt {
    /// The guard's policy.
    pub policy: Rc<GuardPolicy>,
    /// What it is about.
    pub record: Rc<AttemptRecord>,
    /// The caller asked for a stream.
    pub streamed: bool,
    /// How it ended is counted.
    pub is_counted: bool,
    /// It has no answer yet.
    pub waits: bool,
    /// What it waits for.
    pub awaited: Option<Awaited>,
    /// It is at a server of this region.
    pub server: Option<ServerRequest>,
}

impl Attempt {
    /// The answer says where it comes from. An answer by way of a fallback's listener may be of this Envoy itself: there the plugin
    /// `egress` knows.
    pub fn name_region(&self, host: &dyn Host) {
        let to = &self.record.labels.to;
        if !Member::is_fallback(to) {
            host.set_header(Side::Response, headers::REGION, Some(to));
        }
    }

    /// The least that its answer brings, unless that is switched off.
    pub fn least_rate(&self) -> Option<LeastRate> {
        let policy = &self.policy;
        Some(LeastRate {
            bytes_per_second: policy.least_rate?,
            window_ms: policy.stream_idle_timeout_ms?,
        })
    }

    /// Whether the gateway of a peer asks for another member. Only such a gateway may, and only by an error: the header is removed from any
    /// other answer. It would make Envoy drop the head of an answer whose body then comes, which ends Envoy.
    pub fn asks_on(&self, host: &dyn Host, response: &HeaderMap, status: u16) -> bool {
        if !response.has(headers::RETRY) {
            return false;
        }
        let to = self.record.labels.to.as_str();
        let is_here = self.policy.region.as_ref().map(RegionName::as_str) == Some(to);
        let may = status >= 400 && !is_here && !Member::is_fallback(to);
        if !may {
            host.set_header(Side::Response, headers::RETRY, None);
        }
        may
    }

    /// Reads the load that the server reports. Removes that header, and one that only a gateway may set.
    pub fn take_internal_headers(
        &self,
        host: &dyn Host,
        worker: &mut Worker,
        response: &HeaderMap,
    ) {
        if response.has(headers::FINAL) {
            host.set_header(Side::Response, headers::FINAL, None);
        }
        if !response.has(load_report::RESPONSE_HEADER) {
            return;
        }
        let load = load_report::read(&response.text(load_report::RESPONSE_HEADER));
        let labels = &self.record.labels;
        labels.show_load(host, load);
        if let (Some(full), Some(above)) = (load.kv_cache, self.policy.above) {
            worker.sheds.note_load(host, &labels.pool, full, above);
        }
        host.set_header(Side::Response, load_report::RESPONSE_HEADER, None);
    }

    /// The server that Envoy has sent an attempt to, if it is of this region's own pool.
    pub fn server_here(
        &self,
        host: &dyn Host,
        worker: &mut Worker,
        record: &AttemptRecord,
        request: &HeaderMap,
    ) -> Option<ServerRequest> {
        let AttemptRecord {
            labels, address, ..
        } = record;
        let Labels { model, to, .. } = labels.as_ref();
        let is_here = self.policy.region.as_ref().map(RegionName::as_str) == Some(to);
        if !is_here || address.is_empty() {
            return None;
        }
        // Later attempts must be at another server, whatever their slot.
        let is_first = matches!(&*request.text(headers::ATTEMPT), "" | "1");
        if let Ok(slot) = request.text(headers::SLOT).parse()
            && is_first
        {
            worker.servers.learn(model, slot, address);
        }
        let length = ["content-length", headers::LENGTH].map(|name| request.text(name));
        let length = length.into_iter().find(|length| !length.is_empty());
        Some(worker.begin_at_server(host, model, address, &length.unwrap_or_default()))
    }

    /// Its server has no more to do with it. `waited`: milliseconds since it began.
    pub fn leave_server(&mut self, host: &dyn Host, worker: &mut Worker, waited: u64) {
        let Some(mut request) = self.server.take() else {
            return;
        };
        let was_overtaken =
            waited < UNANSWERED_MS && worker.attempts.was_answered_last(self.record.request);
        if !self.is_counted && !caller_has_left(host) && !was_overtaken {
            worker.server_failed(host, &mut request);
        }
        worker.end_at_server(host, request);
    }

    /// It is over. What its answer was is noted already, if it had one.
    pub fn note_end(&self, host: &dyn Host, worker: &Worker, now: u64) {
        let record = &self.record;
        if record.ended.get().is_some() {
            return;
        }
        let how = match caller_has_left(host) {
            true => AttemptEnd::LEFT,
            false if !worker.attempts.was_answered_last(record.request) => {
                match host.fact(Fact::ConnectFailure) {
                    Some(why) if !why.is_empty() => AttemptEnd::CONNECT,
                    _ => AttemptEnd::RESET,
                }
            }
            false if !record.is_past_limit.get() => AttemptEnd::OVERTAKEN,
            false if self.streamed => AttemptEnd::FIRST_TOKEN,
            false => AttemptEnd::UNSTREAMED,
        };
        record.end(how, now);
    }

    /// It has its answer, or is over.
    pub fn stop_waiting(&mut self, worker: &mut Worker) {
        if std::mem::take(&mut self.waits) {
            worker.attempts.end(self.record.request);
        }
    }

    /// Counts an answer by its status, and what it shows of the room that its region has. Whether Envoy drops the answer: it would
    /// retry it, and other attempts may still be answered.
    pub fn answered(&mut self, host: &dyn Host, worker: &mut Worker, status: u16) -> bool {
        self.is_counted = true;
        let outcome = match status {
            429 => "overloaded",
            500.. => "failed",
            _ => "answered",
        };
        let record = self.record.clone();
        let AttemptRecord {
            labels, request, ..
        } = record.as_ref();
        labels.count_attempt(host, outcome);
        self.stop_waiting(worker);
        let refused = matches!(status, 429 | 503);
        let said = refused.then(|| retry_after(host)).flatten();
        let is_dropped = self.mark_last(host, worker, status);
        match status {
            400.. => record.end(AttemptEnd::Status(status), worker.steady_ms(host)),
            // Nobody reads how long it took.
            _ if worker.attempt_log.has_one(*request) => record.end(AttemptEnd::Answered, 0),
            _ => record.end(AttemptEnd::Answered, worker.steady_ms(host)),
        }
        if let Some(request) = &mut self.server {
            worker.server_answered(host, request, status);
        }
        if !is_failure(status) {
            worker.attempts.note_answered(*request);
        }
        let part = worker.sheds.note_answer(host, &labels.pool, refused);
        if refused {
            note_refusal(host, &labels.pool, part, said);
            worker.not_served(host, labels, Fault::Refused(said));
            worker.retry_after.note(*request, said);
        } else if status < 500 {
            worker.served(host, labels);
        }
        if !self.streamed && status < 400 {
            self.note_pace(host, worker);
        }
        is_dropped
    }

    /// No answer came for a while: a limit has passed, another attempt was sooner, or the caller has left. A caller that leaves while
    /// the region answers others, or that waited for a whole answer, has reasons of its own.
    pub fn unanswered(&mut self, host: &dyn Host, worker: &mut Worker) {
        let AttemptRecord { labels, began, .. } = self.record.as_ref();
        let answers_others = worker.paces.has_answered(&labels.pool, *began);
        let outcome = match caller_has_left(host) {
            true if answers_others || !self.streamed => "left",
            false if answers_others => "late",
            _ => "unanswered",
        };
        labels.count_attempt(host, outcome);
        if outcome == "unanswered" {
            worker.not_served(host, labels, Fault::Silent);
        }
        if outcome != "left" {
            let part = worker.sheds.note_answer(host, &labels.pool, true);
            note_refusal(host, &labels.pool, part, None);
        }
    }

    /// An error of the zone's last fallback is final, unless another attempt may still be answered: Envoy waits for that one only
    /// if this answer would be retried. The fallback itself lets no request in twice. Whether Envoy drops the answer.
    fn mark_last(&self, host: &dyn Host, worker: &Worker, status: u16) -> bool {
        let AttemptRecord {
            labels, request, ..
        } = self.record.as_ref();
        let is_last = status >= 400 && self.policy.is_last(&labels.zone, &labels.to);
        let others_wait = worker.attempts.waits(*request);
        let is_final = is_last && !others_wait;
        if is_final {
            host.set_header(Side::Response, headers::FINAL, Some("true"));
        }
        if is_last && others_wait {
            host.set_header(Side::Response, headers::RETRY, Some("others"));
        }
        let asks_on = || host.header(Side::Response, headers::RETRY).is_some();
        others_wait && (is_retried(status) || asks_on())
    }

    /// What it waited for has come. After how many milliseconds.
    fn note_pace(&mut self, host: &dyn Host, worker: &mut Worker) -> u64 {
        let now = worker.steady_ms(host);
        let took = now.saturating_sub(self.record.began);
        if let Some(awaited) = self.awaited.take() {
            let pool = &self.record.labels.pool;
            worker.paces.answered(pool, awaited, took, now);
        }
        took
    }

    /// From here on the answer is the caller's.
    pub fn committed(&mut self, host: &dyn Host, worker: &mut Worker, judge: &Judge) {
        self.answered(host, worker, 200);
        if !judge.is_stream() {
            return;
        }
        let took = self.note_pace(host, worker);
        self.record.labels.record_first_token(host, took);
        if let Some(request) = &mut self.server {
            worker.server_first_token(host, request);
        }
    }

    /// Counts the tokens that the answer has reported.
    pub fn count_tokens(&self, host: &dyn Host, judge: &Judge) {
        if let Some(usage) = judge.usage() {
            self.record.labels.count_tokens(host, usage);
            self.record.usage.set(Some(usage));
        }
    }

    /// The answer is invalid: its head becomes that of an error, for which the next region is asked. The caller gets it only
    /// if there is no other. Whether Envoy drops it.
    pub fn fail(&mut self, host: &dyn Host, worker: &mut Worker, failure: &Failure) -> bool {
        let status = failure.status();
        host.set_header(Side::Response, ":status", Some(&status.to_string()));
        host.set_header(Side::Response, "content-type", Some("application/json"));
        host.set_header(Side::Response, "content-length", None);
        host.set_header(Side::Response, "content-encoding", None);
        let is_dropped = self.answered(host, worker, status);
        let record = &self.record;
        worker.failed(host, record, failure.label(), "before its first content");
        record.end(AttemptEnd::Other(failure.label()), worker.steady_ms(host));
        // It is counted: that its stream is ended soon tells nothing new.
        record.is_broken.set(true);
        is_dropped
    }
}

/// When the member that answers wants to be asked again, in seconds. A date instead of seconds is ignored, and so is what another
/// gateway says of a pool that it cannot ask.
fn retry_after(host: &dyn Host) -> Option<u64> {
    if host.header(Side::Response, headers::RETRY).is_some() {
        return None;
    }
    text(host, Side::Response, "retry-after")
        .trim()
        .parse()
        .ok()
}
