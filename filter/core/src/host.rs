//! What a plugin asks of the Envoy around it. It says what is meant; how that is done is the host's: host calls of proxy-wasm, or
//! memory in tests.

use crate::header_map::HeaderMap;
use std::time::Duration;

/// The two halves of an HTTP exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// What the caller sent.
    Request,
    /// What the upstream answered.
    Response,
}

/// What becomes of a stream after a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on.
    Continue,
    /// Envoy holds what came; the hook is called again with more of it.
    Pause,
    /// The stream waits, and Envoy forgets the piece of the body that came: the plugin has it. For hooks of a body only.
    Withhold,
}

/// A fact that Envoy knows of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// The other end of the caller's connection, `ip:port`.
    SourceAddress,
    /// The first URI of the client's certificate. A SPIFFE certificate has no other.
    ClientId,
    /// The region, or `fallback/<name>`, that the upstream endpoint belongs to, from the endpoint's metadata. It is the endpoint of
    /// the attempt that got its connection last.
    UpstreamRegion,
    /// The address of the upstream endpoint, `ip:port`.
    UpstreamAddress,
    /// Region and address of the upstream endpoint, with a space between them, from the endpoint's metadata. Only endpoints that are
    /// configured by their IP addresses have it.
    UpstreamEndpoint,
    /// Why there is no connection to the upstream endpoint, in Envoy's words: refused, too late, or TLS.
    ConnectFailure,
    /// Why the response is what it is, in Envoy's words, e.g. `via_upstream`.
    ResponseDetails,
    /// The name of the request's route.
    RouteName,
}

/// Kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It shows the last value.
    Gauge,
    /// It shows how values are distributed.
    Histogram,
}

/// Levels of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed that Meridian deals with.
    Warn,
    /// Something that a person should look at.
    Error,
}

/// What an answer of a plugin's is called in Envoy's response code details.
pub const DETAILS: &str = "meridian";

/// The Envoy around a plugin, as the stream of the present hook sees it.
pub trait Host {
    /// The time since the Unix epoch. It may be set at any moment, so no age is measured by it.
    fn now(&self) -> Duration;
    /// The machine's monotonic clock: the time since a moment that is the same for all workers.
    fn monotonic(&self) -> Duration;

    /// A header's value; of one that is sent several times, all values joined by commas.
    fn header(&self, side: Side, name: &str) -> Option<Vec<u8>>;
    /// All headers.
    fn headers(&self, side: Side) -> HeaderMap;
    /// Replaces a header, or removes it.
    fn set_header(&self, side: Side, name: &str, value: Option<&str>);

    /// Removes all trailers. For the hooks of trailers only.
    fn remove_trailers(&self, side: Side);

    /// A part of what is buffered of a body, or what came of it.
    fn body(&self, side: Side, from: usize, size: usize) -> Vec<u8>;
    /// Replaces the first `size` bytes of what is buffered of a body, or of what came of it.
    fn set_body(&self, side: Side, size: usize, bytes: &[u8]);

    /// A fact about the stream; `None` if Envoy does not know it.
    fn fact(&self, fact: Fact) -> Option<String>;
    /// Envoy's response flags of the stream so far, a bit each. `None` if Envoy does not know them.
    fn response_flags(&self) -> Option<u64>;
    /// Puts a value into the stream's access log under a name.
    fn set_log_field(&self, name: &str, value: &str);

    /// Answers the caller from here.
    fn reply(&self, status: u16, headers: &[(&str, &str)], body: &[u8]);
    /// Ends the request without an answer.
    fn reset(&self);
    /// Ends the response of another stream of this worker, so that its caller's connection breaks off.
    fn end_stream(&self, stream: u32);
    /// Turns the response of another stream of this worker, whose headers are held, into an error without a body, and lets it go on.
    fn fail_response(&self, stream: u32, status: u16);
    /// Lets the response's headers go on while its body is withheld: a response of headers alone, if the body has ended.
    fn release_headers(&self);
    /// Makes Envoy look for the route again, by the headers as they are now. `false` if it cannot.
    fn clear_route_cache(&self) -> bool;

    /// What all workers of this Envoy share under a key, and its version for [`Host::set_shared`].
    fn shared(&self, key: &str) -> (Option<Vec<u8>>, Option<u32>);
    /// Replaces what all workers share under a key. With a version: only if it is still of that version. `false` if it is not.
    fn set_shared(&self, key: &str, value: &[u8], version: Option<u32>) -> bool;

    /// The id of a metric. `None` if Envoy has no room for it.
    fn define_metric(&self, kind: MetricKind, name: &str) -> Option<u32>;
    /// Adds to a counter.
    fn add_to_metric(&self, id: u32, value: u64);
    /// Sets a gauge, or records a value of a histogram.
    fn record_metric(&self, id: u32, value: u64);

    /// Writes a line to Envoy's log.
    fn log(&self, level: LogLevel, line: &str);
}

/// The Envoy around a plugin of TCP connections.
pub trait ConnectionHost: Host {
    /// Makes another connection of this worker the present one. `false` if it is over.
    fn enter(&self, connection: u32) -> bool;
    /// Closes the present connection.
    fn close_connection(&self);
}

/// Milliseconds by the machine's monotonic clock, which all workers share.
pub fn now_ms(host: &dyn Host) -> u64 {
    u64::try_from(host.monotonic().as_millis()).unwrap_or(u64::MAX)
}

/// The region, or `fallback/<name>`, and the address of the upstream endpoint, `ip:port`. Each is empty if Envoy does not know it. A fact
/// is among the most expensive host calls: most endpoints take one.
pub fn upstream_endpoint(host: &dyn Host) -> (String, String) {
    let endpoint = host.fact(Fact::UpstreamEndpoint).unwrap_or_default();
    match endpoint.split_once(' ') {
        Some((region, address)) => (region.to_owned(), address.to_owned()),
        None => {
            let known = |fact| host.fact(fact).unwrap_or_default();
            (known(Fact::UpstreamRegion), known(Fact::UpstreamAddress))
        }
    }
}

/// Of Envoy's response flags, those of a caller that has ended the connection (DC) or the stream (DR).
const CALLER_LEFT: u64 = 1 << 14 | 1 << 28;

/// Whether the caller has ended the request, by what Envoy says of it so far.
pub fn caller_has_left(host: &dyn Host) -> bool {
    host.response_flags()
        .is_some_and(|flags| flags & CALLER_LEFT != 0)
}

/// A header's value as text, whatever its bytes are; empty if there is none.
pub fn text(host: &dyn Host, side: Side, name: &str) -> String {
    match host.header(side, name) {
        Some(value) => String::from_utf8_lossy(&value).into_owned(),
        None => String::new(),
    }
}
