//! The plugin root `guard`: an upstream filter of every chain, once per attempt, where an attempt's own answer is seen,
//! retried or not. It holds an answer back until it is one ([`meridian_policy::guard`] says when), so that whatever fails
//! before that goes to the next region; counts what each region answered, how soon and with how many tokens; and tells the
//! router of this Envoy when a region refuses requests for lack of room.

use crate::asked::{Asked, Waits};
use crate::servers::{self, Sent};
use crate::{memory, metric, pace, silence};
use meridian_policy::context;
use meridian_policy::guard::{Failure, GuardPolicy, HOLD_LIMIT, Judge, Kind, Release, Step, load};
use meridian_policy::slots::is_failure;
use meridian_policy::{RegionName, headers};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType};
use std::rc::Rc;

/// One attempt.
#[derive(Default)]
pub struct Attempt {
    /// The context's.
    id: u32,
    policy: Rc<GuardPolicy>,
    /// When it began, by the worker's clock, in milliseconds.
    began: u64,
    asked: Rc<Asked>,
    kind: Option<Kind>,
    streamed: bool,
    state: State,
    /// How it ended is counted.
    is_counted: bool,
    /// It has no answer yet.
    waits: Option<Waits>,
    /// It waits for its first token, and so many did as it began, itself included.
    queues: Option<u32>,
    /// It is at a server of this region.
    sent: Option<Sent>,
}

/// Less than this is no time to wait for a first content, in milliseconds.
pub const UNANSWERED_MS: u64 = 1000;

/// Of Envoy's response flags, those of a caller who has ended the connection (DC) or the stream (DR).
const LEFT: u64 = 1 << 14 | 1 << 28;

/// How far the answer is.
#[derive(Default)]
enum State {
    /// There is nothing to judge, or no more.
    #[default]
    Passing,
    /// Nothing of it is the caller's yet. How much of its body was read.
    Held(Judge, usize),
    /// The request is refused; it is read why.
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

impl Context for Attempt {
    /// The attempt is over. A stream that got no first content for a while, because the limit passed or the caller went away,
    /// says that its region has no room, as a refusal would. Who goes away while the region answers others has reasons of their own.
    fn on_done(&mut self) -> bool {
        silence::forget(self.id);
        self.waits = None;
        let Asked { model, to, .. } = self.asked.as_ref();
        if self.queues.take().is_some() {
            pace::gone(to, model);
        }
        let waited = memory::steady_ms().saturating_sub(self.began);
        if let Some(mut sent) = self.sent.take()
            && !self.is_counted
            && !self.caller_has_left()
            && (waited >= UNANSWERED_MS || !self.asked.was_answered_last())
        {
            sent.failed();
        }
        if self.streamed && !self.is_counted && waited >= UNANSWERED_MS {
            self.asked.count("unanswered");
            if !self.caller_has_left() || !pace::has_answered(to, model, self.began) {
                let part = memory::note_answer(to, model, true);
                memory::note_refusal(to, model, part, None);
            }
        }
        if let State::Watched(watched) = &self.state {
            self.count_tokens(&watched.judge);
            if !self.caller_has_left() {
                self.asked.broken("cut");
            }
        }
        true
    }
}

impl HttpContext for Attempt {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let text = |name| {
            let value = self.get_http_request_header_bytes(name).unwrap_or_default();
            String::from_utf8_lossy(&value).into_owned()
        };
        *self = Self {
            began: memory::steady_ms(),
            asked: Rc::new(Asked {
                zone: text(headers::ZONE),
                model: text(headers::MODEL),
                lane: text(headers::LANE),
                to: self.region(),
                request_id: text("x-request-id"),
                ..Asked::default()
            }),
            kind: Kind::of(&text(":path")),
            streamed: text(headers::STREAM) == "1",
            ..Self::new(self.id, self.policy.clone())
        };
        self.waits = Some(Waits::begin(&self.asked.request_id));
        if self.streamed {
            self.queues = Some(pace::begin(&self.asked.to, &self.asked.model));
        }
        self.sent = self.sent_here();
        let (name, value) = load::ASK;
        self.set_http_request_header(name, Some(value));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, ends: bool) -> Action {
        let action = self.head(ends);
        self.goes_on(action, ends)
    }

    fn on_http_response_body(&mut self, size: usize, ends: bool) -> Action {
        let action = self.body(size, ends);
        self.goes_on(action, ends)
    }

    /// A body that is followed by trailers ends here.
    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        match std::mem::take(&mut self.state) {
            State::Held(mut judge, _) => match judge.read(&[], true) {
                Step::Fail(failure) => {
                    self.fail(&failure);
                    let body = self.body_of(&failure);
                    // What is buffered may be out of reach by now: then the server's own words stay.
                    let _ = hostcalls::set_buffer(
                        BufferType::HttpResponseBody,
                        0,
                        usize::MAX,
                        body.as_bytes(),
                    );
                }
                Step::Hold | Step::Release(_) => self.committed(&judge),
            },
            // There is no body left to say it in.
            State::Watched(Watched { mut judge, .. }) => {
                if let Step::Release(Release {
                    broken: Some(failure),
                    ..
                }) = judge.read(&[], true)
                {
                    self.asked.broken(failure.label());
                }
                self.count_tokens(&judge);
            }
            State::Refused => self.answered(400),
            State::Passing | State::Failed => {}
        }
        Action::Continue
    }
}

impl Attempt {
    fn head(&mut self, ends: bool) -> Action {
        let load = load::read(&self.header(load::HEADER));
        let Asked { model, to, .. } = self.asked.as_ref();
        metric::load(model, to, load);
        if let (Some(full), Some(above)) = (load.kv_cache, self.policy.above) {
            memory::note_load(to, model, full, above);
        }
        self.set_http_response_header(load::HEADER, None);
        let status = self.header(":status").parse().unwrap_or(0);
        let content_type = self.header("content-type");
        // What is encoded cannot be read, and passes as it is.
        let is_plain = matches!(self.header("content-encoding").as_str(), "" | "identity");
        let judge = self
            .kind
            .filter(|_| is_plain)
            .and_then(|kind| Judge::begin(kind, status, &content_type));
        let may_fit_later = || {
            let Asked {
                zone, model, to, ..
            } = self.asked.as_ref();
            self.policy.may_fit_later(zone, model, to)
        };
        if status == 400 && !ends && may_fit_later() {
            self.state = State::Refused;
            return Action::Pause;
        }
        let Some(mut judge) = judge else {
            self.answered(status);
            return Action::Continue;
        };
        if !ends {
            self.state = State::Held(judge, 0);
            return Action::Pause;
        }
        match judge.read(&[], true) {
            Step::Fail(failure) => self.fail(&failure),
            Step::Hold | Step::Release(_) => self.answered(status),
        }
        Action::Continue
    }

    fn body(&mut self, size: usize, ends: bool) -> Action {
        match std::mem::take(&mut self.state) {
            State::Passing => Action::Continue,
            State::Failed => {
                self.set_http_response_body(0, size, &[]);
                self.state = State::Failed;
                Action::Continue
            }
            State::Held(judge, read) => self.held(judge, read, size, ends),
            State::Refused if !ends && size <= HOLD_LIMIT => {
                self.state = State::Refused;
                Action::Pause
            }
            State::Refused => {
                let why = self.get_http_response_body(0, size).unwrap_or_default();
                if context::is_too_long(&why) {
                    self.set_http_response_header(headers::RETRY, Some("context"));
                }
                self.answered(400);
                Action::Continue
            }
            State::Watched(watched) => {
                self.watched(watched, size, ends);
                Action::Continue
            }
        }
    }

    /// Before anything is known of it.
    pub fn new(id: u32, policy: Rc<GuardPolicy>) -> Self {
        Self {
            id,
            policy,
            ..Self::default()
        }
    }

    /// What is passed on of a stream is a sign of life.
    fn goes_on(&self, action: Action, ends: bool) -> Action {
        if ends {
            silence::forget(self.id);
        } else if self.streamed
            && matches!(action, Action::Continue)
            && let Some(gap) = self.policy.gap_ms
        {
            silence::heard(self.id, &self.asked, gap);
        }
        action
    }

    /// Who is asked. Envoy knows it of the attempt that got its connection last, which is this one only as it begins: past a
    /// limit several are on their way.
    fn region(&self) -> String {
        let to = self.get_property(vec![
            "xds",
            "upstream_host_metadata",
            "filter_metadata",
            "meridian",
            "region",
        ]);
        String::from_utf8_lossy(&to.unwrap_or_default()).into_owned()
    }

    /// Where Envoy has sent an attempt at this region's own pool.
    fn sent_here(&self) -> Option<Sent> {
        let Asked { model, to, .. } = self.asked.as_ref();
        if self.policy.region.as_ref().map(RegionName::as_str) != Some(to) {
            return None;
        }
        let text = |value: Option<Vec<u8>>| String::from_utf8(value?).ok();
        let header = |name| text(self.get_http_request_header_bytes(name));
        let address = text(self.get_property(vec!["upstream", "address"]))?;
        // Later ones must be at another server, whatever their slot.
        let is_first = header(headers::ATTEMPT).is_none_or(|attempt| attempt == "1");
        if let Some(Ok(slot)) = header(headers::SLOT).map(|slot| slot.parse())
            && is_first
        {
            servers::learn(model, slot, &address);
        }
        let length = header("content-length").or_else(|| header(headers::LENGTH));
        let length = length.unwrap_or_default();
        Some(servers::begin(model, &address, &length))
    }

    /// Whether the caller has ended the request, by what Envoy says of it so far.
    fn caller_has_left(&self) -> bool {
        let flags = self.get_property(vec!["response", "flags"]);
        let flags = flags.and_then(|flags| flags.try_into().ok());
        flags.is_some_and(|flags| u64::from_le_bytes(flags) & LEFT != 0)
    }

    fn header(&self, name: &str) -> String {
        let value = self.get_http_response_header_bytes(name);
        String::from_utf8_lossy(&value.unwrap_or_default()).into_owned()
    }

    /// Counts an answer by its status, and what it says of the room that its region has.
    fn answered(&mut self, status: u16) {
        self.is_counted = true;
        let outcome = match status {
            429 => "overloaded",
            500.. => "failed",
            _ => "answered",
        };
        self.asked.count(outcome);
        let Asked { model, to, .. } = self.asked.as_ref();
        self.waits = None;
        let is_last = status >= 400 && self.policy.is_last(&self.asked.zone, to);
        let others_wait = self.asked.others_wait();
        let is_final = is_last && !others_wait;
        self.set_http_response_header(headers::FINAL, is_final.then_some("true"));
        // Envoy waits for the others only if this one would be retried. The fallback itself sees to it that it is not.
        if is_last && others_wait {
            self.set_http_response_header(headers::RETRY, Some("others"));
        }
        if let Some(sent) = &mut self.sent {
            sent.answered(status);
        }
        if !is_failure(status) {
            self.asked.note_answered();
        }
        let refused = matches!(status, 429 | 503);
        let part = memory::note_answer(to, model, refused);
        if refused {
            // A date instead of seconds says nothing here.
            let seconds = self.header("retry-after").trim().parse().ok();
            memory::note_refusal(to, model, part, seconds);
        }
    }

    /// More of an answer of which the caller has nothing yet. `size`: all of it that there is.
    fn held(&mut self, mut judge: Judge, read: usize, size: usize, ends: bool) -> Action {
        let piece = self
            .get_http_response_body(read, size.saturating_sub(read))
            .unwrap_or_default();
        match judge.read(&piece, ends) {
            Step::Hold => {
                self.state = State::Held(judge, size);
                return Action::Pause;
            }
            Step::Fail(failure) => {
                self.fail(&failure);
                self.set_http_response_body(0, size, self.body_of(&failure).as_bytes());
                self.state = State::Failed;
            }
            Step::Release(release) => {
                self.committed(&judge);
                if judge.is_stream() {
                    // Its length may become another.
                    self.set_http_response_header("content-length", None);
                    let begun = Watched {
                        judge,
                        kept: Vec::new(),
                        released: 0,
                    };
                    let all = self.get_http_response_body(0, size).unwrap_or_default();
                    self.release(begun, all, size, release, ends);
                } else {
                    self.count_tokens(&judge);
                }
            }
        }
        Action::Continue
    }

    fn watched(&mut self, mut watched: Watched, size: usize, ends: bool) {
        let piece = self.get_http_response_body(0, size).unwrap_or_default();
        let step = watched.judge.read(&piece, ends);
        let mut all = std::mem::take(&mut watched.kept);
        all.extend_from_slice(&piece);
        match step {
            Step::Release(release) => self.release(watched, all, size, release, ends),
            // Nothing is held back or fails as a whole any more.
            Step::Hold | Step::Fail(_) => {}
        }
    }

    /// Passes on what is the caller's of `all` that it has not got, in the place of what there is (`size`).
    fn release(
        &mut self,
        mut watched: Watched,
        mut all: Vec<u8>,
        size: usize,
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
            self.set_http_response_body(0, size, &all);
        }
        if ends || broken.is_some() {
            self.count_tokens(&watched.judge);
        }
        self.state = match broken {
            Some(failure) => {
                self.asked.broken(failure.label());
                State::Failed
            }
            None if ends => State::Passing,
            None => State::Watched(watched),
        };
    }

    /// From here on the answer is the caller's.
    fn committed(&mut self, judge: &Judge) {
        self.answered(200);
        if judge.is_stream() {
            let took = memory::steady_ms().saturating_sub(self.began);
            let Asked { model, to, .. } = self.asked.as_ref();
            metric::first_token(model, to, took);
            if let Some(before) = self.queues.take() {
                pace::first_token(to, model, before, took);
            }
            if let Some(sent) = &mut self.sent {
                sent.first_token();
            }
        }
    }

    fn count_tokens(&self, judge: &Judge) {
        if let Some(usage) = judge.usage() {
            let Asked {
                zone, model, to, ..
            } = self.asked.as_ref();
            metric::tokens(zone, model, to, usage);
        }
    }

    fn body_of(&self, failure: &Failure) -> String {
        self.kind.map(|kind| failure.body(kind)).unwrap_or_default()
    }

    /// The answer is none: its head becomes that of an error, for which the next region is asked. The caller gets it only
    /// where there is none.
    fn fail(&mut self, failure: &Failure) {
        let status = failure.status();
        self.set_http_response_header(":status", Some(&status.to_string()));
        self.set_http_response_header("content-type", Some("application/json"));
        self.set_http_response_header("content-length", None);
        self.answered(status);
        self.asked
            .failed(failure.label(), "before its first content");
    }
}
