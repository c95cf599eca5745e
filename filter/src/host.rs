//! The host by proxy-wasm's host calls. A call that fails changes nothing: what cannot be written, counted or logged is no reason
//! to fail a request.

use meridian_filter_core::header_map::HeaderMap;
use meridian_filter_core::host::{ConnectionHost, DETAILS, Fact, Host, LogLevel, MetricKind, Side};
use proxy_wasm::hostcalls;
use proxy_wasm::types::{self, BufferType, MapType, MetricType};
use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{process, ptr};

/// Where the endpoint's metadata is, by the names that the control plane gives it.
const UPSTREAM_REGION: [&str; 5] = [
    "xds",
    "upstream_host_metadata",
    "filter_metadata",
    "meridian",
    "region",
];
const UPSTREAM_ENDPOINT: [&str; 5] = [
    "xds",
    "upstream_host_metadata",
    "filter_metadata",
    "meridian",
    "endpoint",
];

/// WASI's number of the monotonic clock.
const MONOTONIC: u32 = 1;

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    /// WASI's clocks; an error number, 0 for none. The standard library's clock is the same call, but panics where it is not allowed.
    fn clock_time_get(clock: u32, precision: u64, nanoseconds: *mut u64) -> u32;
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    /// All headers of a map in one piece of memory, which is the VM's from then on. The SDK makes two strings of each header.
    fn proxy_get_header_map_pairs(map: u32, pairs: *mut *mut u8, size: *mut usize) -> u32;

    /// Answers the stream. The SDK gives no details. A gRPC status of -1 is none.
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
}

thread_local! {
    /// Whether the control plane allows the monotonic clock. One that is older than this filter does not; Envoy logs each try.
    static HAS_MONOTONIC: Cell<bool> = const { Cell::new(true) };
}

/// The Envoy that the VM runs in; stream calls are about the stream of the present callback.
pub struct Envoy;

impl Host for Envoy {
    fn now(&self) -> Duration {
        let now = hostcalls::get_current_time().unwrap_or(UNIX_EPOCH);
        now.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        let mut nanoseconds = 0;
        if HAS_MONOTONIC.get() {
            // SAFETY: the host writes 8 bytes to where `nanoseconds` lies, as `u64` has them.
            let error = unsafe { clock_time_get(MONOTONIC, 1, &raw mut nanoseconds) };
            HAS_MONOTONIC.set(error == 0);
        }
        if HAS_MONOTONIC.get() {
            Duration::from_nanos(nanoseconds)
        } else {
            self.now()
        }
    }

    fn header(&self, side: Side, name: &str) -> Option<Vec<u8>> {
        hostcalls::get_map_value_bytes(map(side), name).ok()?
    }

    fn headers(&self, side: Side) -> HeaderMap {
        let (mut data, mut size) = (ptr::null_mut(), 0);
        // SAFETY: the host writes an address and a size to where `data` and `size` lie.
        let error =
            unsafe { proxy_get_header_map_pairs(map(side) as u32, &raw mut data, &raw mut size) };
        if error != 0 || data.is_null() {
            return HeaderMap::default();
        }
        // SAFETY: the host has got the memory from the SDK's `proxy_on_memory_allocate`: a vector of this capacity, all of it written.
        let bytes = unsafe { Vec::from_raw_parts(data, size, size) };
        // Without its headers nothing of a request may go on: a fault ends its stream.
        pairs(&bytes).unwrap_or_else(|| process::abort())
    }

    fn set_header(&self, side: Side, name: &str, value: Option<&str>) {
        let _ = hostcalls::set_map_value(map(side), name, value);
    }

    fn remove_trailers(&self, side: Side) {
        let trailers = match side {
            Side::Request => MapType::HttpRequestTrailers,
            Side::Response => MapType::HttpResponseTrailers,
        };
        for (name, _) in hostcalls::get_map_bytes(trailers).unwrap_or_default() {
            let _ = hostcalls::set_map_value(trailers, &name, None);
        }
    }

    fn body(&self, side: Side, from: usize, size: usize) -> Vec<u8> {
        let body = hostcalls::get_buffer(buffer(side), from, size);
        body.ok().flatten().unwrap_or_default()
    }

    fn set_body(&self, side: Side, size: usize, bytes: &[u8]) {
        let _ = hostcalls::set_buffer(buffer(side), 0, size, bytes);
    }

    fn fact(&self, fact: Fact) -> Option<String> {
        let path: &[&str] = match fact {
            Fact::SourceAddress => &["source", "address"],
            Fact::ClientId => &["connection", "uri_san_peer_certificate"],
            Fact::UpstreamRegion => &UPSTREAM_REGION,
            Fact::UpstreamEndpoint => &UPSTREAM_ENDPOINT,
            Fact::UpstreamAddress => &["upstream", "address"],
            Fact::ConnectFailure => &["upstream", "transport_failure_reason"],
            Fact::ResponseDetails => &["response", "code_details"],
            Fact::RouteName => &["xds", "route_name"],
        };
        let value = String::from_utf8(property(path)?).ok()?;
        (!value.is_empty()).then_some(value)
    }

    fn response_flags(&self) -> Option<u64> {
        let flags = property(&["response", "flags"])?;
        Some(u64::from_le_bytes(flags.try_into().ok()?))
    }

    fn set_log_field(&self, name: &str, value: &str) {
        let _ = hostcalls::set_property(vec![name], Some(value.as_bytes()));
    }

    fn reply(&self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let headers = to_bytes(headers);
        // SAFETY: the host reads as many bytes as each of them has.
        unsafe {
            proxy_send_local_response(
                u32::from(status),
                DETAILS.as_ptr(),
                DETAILS.len(),
                body.as_ptr(),
                body.len(),
                headers.as_ptr(),
                headers.len(),
                -1,
            );
        }
    }

    fn reset(&self) {
        let _ = hostcalls::reset_http_request();
    }

    fn end_stream(&self, stream: u32) {
        // A stream that is over by now needs no end.
        if hostcalls::set_effective_context(stream).is_ok() {
            let _ = hostcalls::reset_http_response();
        }
    }

    fn fail_response(&self, stream: u32, status: u16) {
        if hostcalls::set_effective_context(stream).is_ok() {
            self.set_header(Side::Response, ":status", Some(&status.to_string()));
            self.set_header(Side::Response, "content-length", Some("0"));
            self.set_header(Side::Response, "content-type", None);
            self.set_header(Side::Response, "content-encoding", None);
            self.release_headers();
        }
    }

    fn release_headers(&self) {
        let _ = hostcalls::resume_http_response();
    }

    fn clear_route_cache(&self) -> bool {
        hostcalls::call_foreign_function("clear_route_cache", None).is_ok()
    }

    fn shared(&self, key: &str) -> (Option<Vec<u8>>, Option<u32>) {
        hostcalls::get_shared_data(key).unwrap_or_default()
    }

    fn set_shared(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        hostcalls::set_shared_data(key, Some(value), version).is_ok()
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Option<u32> {
        let kind = match kind {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
            MetricKind::Histogram => MetricType::Histogram,
        };
        hostcalls::define_metric(kind, name).ok()
    }

    fn add_to_metric(&self, id: u32, value: u64) {
        let _ = hostcalls::increment_metric(id, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_metric(&self, id: u32, value: u64) {
        let _ = hostcalls::record_metric(id, value);
    }

    fn log(&self, level: LogLevel, line: &str) {
        log(level, line);
    }
}

/// Makes Envoy stop the stream of the present hook and keep nothing of the piece of the body that came. The SDK has no word for
/// that (`StopIterationNoBuffer`). The host does it after every hook in which a local response was sent, by whatever context: here
/// it is the root context, which has no caller to answer.
pub fn withhold(stream: u32, root: u32) {
    let _ = hostcalls::set_effective_context(root);
    let _ = hostcalls::send_http_response(500, Vec::new(), None);
    let _ = hostcalls::set_effective_context(stream);
}

/// Writes a line to Envoy's log.
pub fn log(level: LogLevel, line: &str) {
    let level = match level {
        LogLevel::Warn => types::LogLevel::Warn,
        LogLevel::Error => types::LogLevel::Error,
    };
    let _ = hostcalls::log(level, line);
}

/// Reads headers as the ABI has them: their number; the sizes of each name and value; then each name and value, with a NUL behind it.
/// Numbers are of four bytes, the lowest one first.
fn pairs(bytes: &[u8]) -> Option<HeaderMap> {
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
    let (sizes, mut rest) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut next = |size: &[u8; 4]| {
        let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
        let (text, behind) = rest.split_at_checked(size)?;
        (_, rest) = behind.split_first()?;
        Some(text)
    };
    let (sizes, _) = sizes.as_chunks::<4>();
    let (sizes, _) = sizes.as_chunks::<2>();
    let all: Option<Vec<_>> = sizes
        .iter()
        .map(|[name, value]| Some((next(name)?, next(value)?)))
        .collect();
    Some(HeaderMap::of(&all?))
}

/// Headers as the ABI has them: what [`pairs`] reads.
fn to_bytes(headers: &[(&str, &str)]) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    let texts = || headers.iter().flat_map(|(name, value)| [name, value]);
    let mut bytes = number(headers.len()).to_vec();
    bytes.extend(texts().flat_map(|text| number(text.len())));
    for text in texts() {
        bytes.extend(text.bytes());
        bytes.push(0);
    }
    bytes
}

fn property(path: &[&str]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok()?
}

fn map(side: Side) -> MapType {
    match side {
        Side::Request => MapType::HttpRequestHeaders,
        Side::Response => MapType::HttpResponseHeaders,
    }
}

fn buffer(side: Side) -> BufferType {
    match side {
        Side::Request => BufferType::HttpRequestBody,
        Side::Response => BufferType::HttpResponseBody,
    }
}

impl ConnectionHost for Envoy {
    fn enter(&self, connection: u32) -> bool {
        hostcalls::set_effective_context(connection).is_ok()
    }

    fn close_connection(&self) {
        let _ = hostcalls::close_downstream();
    }
}
