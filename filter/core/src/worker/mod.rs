//! What one worker thread of an Envoy keeps from one request to the next. Each part is a plain struct; what all workers of the
//! Envoy share goes through the host.

mod attempt_log;
mod attempts;
mod beginnings;
mod board;
mod bodies;
mod breakers;
mod connections;
mod fallbacks;
mod held;
mod idle;
mod labels;
mod lease;
mod metrics;
mod paces;
mod reports;
mod retry_after;
mod servers;
mod sheds;
mod spending;
mod too_long;
mod trickles;

pub use attempt_log::{AttemptLog, attempts_text, is_only_answered, tokens_text};
pub use attempts::{AttemptEnd, AttemptRecord, Attempts, STALL, TRICKLE};
pub use beginnings::Beginnings;
pub use board::KEEP_EVERY;
pub use bodies::{Bodies, HeldBody};
pub use connections::{Connections, FOLLOW_EVERY};
pub use fallbacks::FallbackRequests;
pub use idle::{IdleStreams, look_every};
pub use labels::{LabelSets, Labels};
pub use lease::lease_expires;
pub use metrics::{FAMILIES, Family, Metrics};
pub use reports::Reports;
pub use servers::{ServerRequest, Servers};
pub use sheds::{loaded, note_refusal, refused};
pub use spending::{admit, begin_spending, give_back, settle};
pub use too_long::TooLong;
pub use trickles::{LeastRate, Trickles};

use crate::breaker::Fault;
use crate::clock::SteadyClock;
use crate::hedges::Hedges;
use crate::host::{Host, LogLevel, now_ms};
use crate::routes::PoolId;
use crate::slots::SlotRequest;
use board::Board;
use breakers::Breakers;
use paces::Paces;
use retry_after::RetryAfter;
use sheds::Sheds;

/// One worker's state.
#[derive(Default)]
pub struct Worker {
    clock: SteadyClock,
    board: Board,
    /// Requests' attempts that wait for an answer, and answers that broke off.
    pub attempts: Attempts,
    /// What is logged of the attempts of each request.
    pub attempt_log: AttemptLog,
    /// Attempts of requests that another member works on already.
    pub hedges: Hedges,
    /// Pools that serve nobody.
    pub breakers: Breakers,
    /// Streams that may fall silent.
    pub idle: IdleStreams,
    /// Answers that may come too slowly.
    pub trickles: Trickles,
    /// How soon pools answer.
    pub paces: Paces,
    /// The load of this region's servers.
    pub servers: Servers,
    /// What pools refuse, and the load that their servers report.
    pub sheds: Sheds,
    /// When the members of requests' chains want to be asked again.
    pub retry_after: RetryAfter,
    /// Requests that fallbacks are asked for.
    pub fallbacks: FallbackRequests,
    /// Prompts that were too long for a member.
    pub too_long: TooLong,
    /// What drained pools are asked for.
    beginnings: Beginnings,
    /// Request bodies that are held.
    pub bodies: Bodies,
    /// Connections for retrieval.
    pub connections: Connections,
    /// The labels of attempts.
    pub labels: LabelSets,
    /// Of which requests the control plane is told.
    pub reports: Reports,
    /// Counters in Envoy's statistics.
    pub metrics: Metrics,
}

impl Worker {
    /// Counts a request for a pool that is drained. Returns the part of the pool's requests that begin a conversation.
    pub fn note_beginning(&mut self, pool: &PoolId, begins: bool, now_ms: u64) -> f64 {
        self.beginnings.note(&pool.name, begins, now_ms)
    }

    /// Milliseconds by this worker's own clock, for what it measures itself: time in which the process stood still does not count.
    pub fn steady_ms(&mut self, host: &dyn Host) -> u64 {
        self.clock.at(now_ms(host))
    }

    /// The process has run since this worker was called last, however long ago that was. For hosts that call no worker without a stream.
    pub fn has_run(&mut self, host: &dyn Host) {
        self.clock.has_run_until(now_ms(host));
    }

    /// To be called ten times a second: ends streams that are silent for too long or too slow, and tells the other workers what this one sees.
    pub fn tick(&mut self, host: &dyn Host) {
        self.end_idle_streams(host);
        self.end_trickles(host);
        self.reports.tick();
        if self.board.keep(host) {
            self.servers.publish_all(host, &self.board);
        }
        self.paces.exchange(host, &self.board);
        self.breakers.refresh(host);
    }

    fn end_idle_streams(&mut self, host: &dyn Host) {
        let now = self.steady_ms(host);
        for (stream, record) in self.idle.take_expired(now) {
            self.broken(host, &record, STALL);
            self.trickles.remove(stream);
            host.end_stream(stream);
        }
    }

    /// Ends answers that come too slowly. One of which its caller has nothing yet has failed, and Envoy asks the next member.
    fn end_trickles(&mut self, host: &dyn Host) {
        let now = self.steady_ms(host);
        for (stream, record) in self.trickles.take_slow(now) {
            if record.ended.get().is_some() {
                self.broken(host, &record, TRICKLE);
                self.idle.remove(stream);
                host.end_stream(stream);
            } else {
                record.end(AttemptEnd::TRICKLE, now);
                self.failed(host, &record, TRICKLE, "before its first content");
                host.fail_response(stream, 502);
            }
        }
    }

    /// A pool has served a request of this kind.
    pub fn served(&mut self, host: &dyn Host, labels: &Labels) {
        if self.breakers.note_served(host, &labels.pool) {
            self.metrics.breaker(host, labels, false);
        }
    }

    /// A pool has not served a request of this kind.
    pub fn not_served(&mut self, host: &dyn Host, labels: &Labels, fault: Fault) {
        if self.breakers.note_fault(host, &labels.pool, fault) {
            self.metrics.breaker(host, labels, true);
        }
    }

    /// The slot of a request to one of this region's own pools.
    pub fn pick_slot(&mut self, host: &dyn Host, model: &str, ask: SlotRequest) -> u16 {
        self.servers.pick(host, &self.board, model, ask)
    }

    /// A request is sent to a server of this region. `length`: the header that has its bytes.
    pub fn begin_at_server(
        &mut self,
        host: &dyn Host,
        model: &str,
        address: &str,
        length: &str,
    ) -> ServerRequest {
        self.servers
            .begin(host, &self.board, model, address, length)
    }

    /// The server of a request has answered with this status.
    pub fn server_answered(&mut self, host: &dyn Host, request: &mut ServerRequest, status: u16) {
        let now = self.steady_ms(host);
        self.servers.answered(request, status, now);
    }

    /// The server of a request has failed it, unless it has answered already. It is left alone for a while.
    pub fn server_failed(&mut self, host: &dyn Host, request: &mut ServerRequest) {
        let now = self.steady_ms(host);
        self.servers.failed(request, now);
    }

    /// The first token of a request has come from its server.
    pub fn server_first_token(&mut self, host: &dyn Host, request: &mut ServerRequest) {
        self.servers.first_token(host, &self.board, request);
    }

    /// A request is over at its server.
    pub fn end_at_server(&mut self, host: &dyn Host, request: ServerRequest) {
        self.servers.end(host, &self.board, request);
    }

    /// An answer of which its caller has a part has broken off.
    pub fn broken(&mut self, host: &dyn Host, record: &AttemptRecord, how: &'static str) {
        if record.is_broken.replace(true) {
            return;
        }
        // A stream also stalls where its caller reads no further, which Envoy does not tell: it is no region's failure.
        let outcome = match how {
            STALL | TRICKLE => "stalled",
            _ => "broken",
        };
        record.labels.count_attempt(host, outcome);
        self.attempts.note_broken(record.request, how);
        record.end(AttemptEnd::Other(how), self.steady_ms(host));
        self.failed(host, record, how, "after its first content");
    }

    /// Counts and logs an invalid answer.
    pub fn failed(&mut self, host: &dyn Host, record: &AttemptRecord, how: &str, when: &str) {
        let AttemptRecord {
            labels, request_id, ..
        } = record;
        self.metrics.failure(host, labels, how);
        let Labels { model, to, .. } = labels.as_ref();
        host.log(
            LogLevel::Warn,
            &format!(
                "meridian: request {request_id}: {to}'s answer for {model} failed {when}: {how}"
            ),
        );
    }
}
