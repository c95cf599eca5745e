//! The host by Envoy's C ABI. A call that fails changes nothing: what cannot be written, counted or logged is no reason to fail a
//! request.

use crate::abi::*;
use crate::config::Config;
use crate::metrics::Metric;
use crate::{shared, worker};
use meridian_filter_core::header_map::HeaderMap;
use meridian_filter_core::host::{DETAILS, Fact, Host, LogLevel, MetricKind, Side};
use meridian_filter_core::worker::FAMILIES;
use std::cell::RefCell;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{mem, ptr};

/// The endpoint's metadata, by the names that the control plane gives it.
const METADATA: Buffer = Buffer::of(b"meridian");
const REGION: Buffer = Buffer::of(b"region");
const ENDPOINT: Buffer = Buffer::of(b"endpoint");

/// The prefix of what is written for the access log: the other host's, so that the log's format does not depend on the host.
const LOG_FIELDS: &str = "wasm.";

/// The Envoy around a plugin, as the stream of the present hook sees it.
///
/// What ends, answers or resumes a stream may make Envoy call other hooks, or end this very stream, before the call returns. It waits
/// until the plugin is done: [`Envoy::deferred`].
pub struct Envoy<'c> {
    /// Null outside of streams.
    filter: Ptr,
    stream: u32,
    config: &'c Config,
    /// The filter that knows facts about the stream. Null: nobody does any more.
    knows: Ptr,
    deferred: RefCell<Vec<Deferred>>,
}

/// What is done to a stream when the plugin is done.
pub enum Deferred {
    /// It is answered.
    Reply {
        stream: u32,
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// It is reset.
    Reset(u32),
    /// Its response's headers go on.
    Release(u32),
}

impl<'c> Envoy<'c> {
    /// As the stream of a filter sees it.
    pub fn of(filter: Ptr, stream: u32, config: &'c Config) -> Self {
        Self {
            filter,
            stream,
            config,
            knows: filter,
            deferred: RefCell::default(),
        }
    }

    /// As an attempt sees it at its end. Envoy tells facts no longer, but those of its request, which are the same.
    pub fn of_ended(filter: Ptr, stream: u32, config: &'c Config, request: Option<u32>) -> Self {
        Self {
            knows: request
                .and_then(worker::filter_of)
                .unwrap_or(ptr::null_mut()),
            ..Self::of(filter, stream, config)
        }
    }

    /// Ends the stream.
    pub fn end_this(&self) {
        self.deferred
            .borrow_mut()
            .push(Deferred::Reset(self.stream));
    }

    /// What is to be done when the plugin is done.
    pub fn deferred(&self) -> Vec<Deferred> {
        mem::take(&mut self.deferred.borrow_mut())
    }

    /// Bytes of a body that are buffered or came.
    pub fn body_size(&self, side: Side) -> usize {
        bodies(side).map(|body| self.size(body)).iter().sum()
    }

    fn size(&self, body: u32) -> usize {
        if self.filter.is_null() {
            return 0;
        }
        // SAFETY: the filter is there for as long as the hook.
        unsafe { envoy_dynamic_module_callback_http_get_body_size(self.filter, body) }
    }

    fn drain(&self, body: u32, bytes: usize) {
        if bytes > 0 {
            // SAFETY: the filter is there for as long as the hook.
            unsafe { envoy_dynamic_module_callback_http_drain_body(self.filter, body, bytes) };
        }
    }

    /// Adds to the end of a body: to what came, if this is the hook of a body.
    fn append(&self, side: Side, bytes: &[u8]) {
        let [buffered, received] = bodies(side);
        // SAFETY: the filter is there for as long as the hook; Envoy copies the bytes.
        unsafe {
            let bytes = Buffer::of(bytes);
            let _ = envoy_dynamic_module_callback_http_append_body(self.filter, received, bytes)
                || envoy_dynamic_module_callback_http_append_body(self.filter, buffered, bytes);
        }
    }

    /// All headers or trailers of a map.
    fn pairs(&self, map: u32) -> HeaderMap {
        let none = Header {
            name: Buffer::NONE,
            value: Buffer::NONE,
        };
        // SAFETY: the filter is there for as long as the hook; there is room for as many headers as Envoy has; they are copied at once.
        unsafe {
            let count = envoy_dynamic_module_callback_http_get_headers_size(self.filter, map);
            let mut headers = vec![none; count];
            if !envoy_dynamic_module_callback_http_get_headers(
                self.filter,
                map,
                headers.as_mut_ptr(),
            ) {
                return HeaderMap::default();
            }
            let pairs = headers
                .iter()
                .map(|header| (header.name.bytes(), header.value.bytes()));
            HeaderMap::of(&pairs.collect::<Vec<_>>())
        }
    }

    fn attribute(&self, attribute: u32) -> Option<Vec<u8>> {
        if self.knows.is_null() {
            return None;
        }
        let mut value = Buffer::NONE;
        // SAFETY: the filter is there for as long as the hook; Envoy writes the value's place, and it is copied at once.
        unsafe {
            let is_known = envoy_dynamic_module_callback_http_filter_get_attribute_string(
                self.knows,
                attribute,
                &raw mut value,
            );
            is_known.then(|| value.bytes().to_vec())
        }
    }

    fn metadata(&self, key: Buffer) -> Option<Vec<u8>> {
        if self.knows.is_null() {
            return None;
        }
        let mut value = Buffer::NONE;
        // SAFETY: as above.
        unsafe {
            let is_known = envoy_dynamic_module_callback_http_get_metadata_string(
                self.knows,
                METADATA_OF_HOST,
                METADATA,
                key,
                &raw mut value,
            );
            is_known.then(|| value.bytes().to_vec())
        }
    }

    /// Calls with Envoy's id of a metric, and the values of the metric's labels.
    fn with_metric(&self, metric: &Metric, call: impl FnOnce(Ptr, usize, &[Buffer])) {
        if let Some(Some(id)) = self.config.metrics.get(metric.family)
            && !self.filter.is_null()
        {
            call(self.filter, *id, &metric.labels());
        }
    }

    fn add(&self, metric: &Metric, value: u64) {
        self.with_metric(metric, |filter, id, labels| {
            // SAFETY: the filter is there for as long as the hook; the labels live to the end of the call.
            unsafe {
                envoy_dynamic_module_callback_http_filter_increment_counter(
                    filter,
                    id,
                    labels.as_ptr(),
                    labels.len(),
                    value,
                );
            }
        });
    }
}

/// Calls with what metrics of the requests of a worker are told to: the newest of its streams. Envoy puts the name of a filter's place
/// before its metrics; so there is one of each, and none for each chain. What Envoy keeps of labels it frees with the stream.
fn with_newest(call: impl FnOnce(&Envoy<'_>)) -> bool {
    let newest = worker::newest_downstream();
    if let Some((filter, config)) = &newest {
        call(&Envoy::of(*filter, 0, config));
    }
    newest.is_some()
}

/// Tells Envoy what the worker has counted, if there is a stream to tell it by.
pub fn tell_counts() {
    with_newest(|envoy| {
        for (metric, value) in worker::take_counts() {
            envoy.add(&metric, value);
        }
    });
}

impl Host for Envoy<'_> {
    fn now(&self) -> Duration {
        let now = SystemTime::now();
        now.duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        static BEGIN: OnceLock<Instant> = OnceLock::new();
        BEGIN.get_or_init(Instant::now).elapsed()
    }

    fn header(&self, side: Side, name: &str) -> Option<Vec<u8>> {
        let mut all: Option<Vec<u8>> = None;
        let (mut at, mut count) = (0, 1);
        while at < count {
            let mut value = Buffer::NONE;
            // SAFETY: the filter is there for as long as the hook; the value is copied before anything is changed.
            let value = unsafe {
                envoy_dynamic_module_callback_http_get_header(
                    self.filter,
                    map(side),
                    Buffer::of(name.as_bytes()),
                    &raw mut value,
                    at,
                    &raw mut count,
                )
                .then(|| value.bytes())
            }?;
            match &mut all {
                None => all = Some(value.to_vec()),
                Some(all) => {
                    all.push(b',');
                    all.extend_from_slice(value);
                }
            }
            at += 1;
        }
        all
    }

    fn headers(&self, side: Side) -> HeaderMap {
        self.pairs(map(side))
    }

    fn set_header(&self, side: Side, name: &str, value: Option<&str>) {
        let value = value.map_or(Buffer::NONE, |value| Buffer::of(value.as_bytes()));
        set_header(self.filter, map(side), name.as_bytes(), value);
    }

    fn remove_trailers(&self, side: Side) {
        let trailers = match side {
            Side::Request => REQUEST_TRAILERS,
            Side::Response => RESPONSE_TRAILERS,
        };
        for (name, _) in self.pairs(trailers).iter() {
            set_header(self.filter, trailers, name.as_bytes(), Buffer::NONE);
        }
    }

    fn body(&self, side: Side, from: usize, size: usize) -> Vec<u8> {
        let (mut skip, mut left) = (from, size);
        let mut all = Vec::with_capacity(self.body_size(side).saturating_sub(from).min(size));
        for body in bodies(side) {
            // SAFETY: the filter is there for as long as the hook; there is room for as many pieces as Envoy has; they are copied at once.
            unsafe {
                let count =
                    envoy_dynamic_module_callback_http_get_body_chunks_size(self.filter, body);
                let mut pieces = vec![Buffer::NONE; count];
                if count == 0
                    || !envoy_dynamic_module_callback_http_get_body_chunks(
                        self.filter,
                        body,
                        pieces.as_mut_ptr(),
                    )
                {
                    continue;
                }
                for piece in pieces {
                    let piece = piece.bytes();
                    let (skipped, piece) = piece.split_at(skip.min(piece.len()));
                    skip -= skipped.len();
                    let piece = &piece[..left.min(piece.len())];
                    left -= piece.len();
                    all.extend_from_slice(piece);
                }
            }
        }
        all
    }

    fn set_body(&self, side: Side, size: usize, bytes: &[u8]) {
        let rest = self.body(side, size, usize::MAX);
        for body in bodies(side) {
            self.drain(body, self.size(body));
        }
        for bytes in [bytes, &rest] {
            if !bytes.is_empty() {
                self.append(side, bytes);
            }
        }
    }

    fn fact(&self, fact: Fact) -> Option<String> {
        let value = match fact {
            Fact::SourceAddress => self.attribute(SOURCE_ADDRESS),
            Fact::ClientId => self.attribute(URI_SAN_PEER_CERTIFICATE),
            Fact::UpstreamRegion => self.metadata(REGION),
            Fact::UpstreamEndpoint => self.metadata(ENDPOINT),
            Fact::UpstreamAddress => self.attribute(UPSTREAM_ADDRESS),
            Fact::ConnectFailure => self.attribute(UPSTREAM_TRANSPORT_FAILURE_REASON),
            Fact::ResponseDetails => self.attribute(RESPONSE_CODE_DETAILS),
            Fact::RouteName => self.attribute(ROUTE_NAME),
        };
        let value = String::from_utf8(value?).ok()?;
        (!value.is_empty()).then_some(value)
    }

    fn response_flags(&self) -> Option<u64> {
        if self.knows.is_null() {
            return None;
        }
        let mut flags = 0;
        // SAFETY: the filter is there for as long as the hook; Envoy writes a number to where `flags` lies.
        let is_known = unsafe {
            envoy_dynamic_module_callback_http_filter_get_attribute_int(
                self.knows,
                RESPONSE_FLAGS,
                &raw mut flags,
            )
        };
        is_known.then_some(flags)
    }

    fn set_log_field(&self, name: &str, value: &str) {
        let name = format!("{LOG_FIELDS}{name}");
        // SAFETY: the filter is there for as long as the hook; Envoy copies both.
        unsafe {
            envoy_dynamic_module_callback_http_set_filter_state_bytes(
                self.filter,
                Buffer::of(name.as_bytes()),
                Buffer::of(value.as_bytes()),
            );
        }
    }

    fn reply(&self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.deferred.borrow_mut().push(Deferred::Reply {
            stream: self.stream,
            status,
            headers: headers.collect(),
            body: body.to_vec(),
        });
    }

    fn reset(&self) {
        self.end_this();
    }

    fn end_stream(&self, stream: u32) {
        self.deferred.borrow_mut().push(Deferred::Reset(stream));
    }

    fn fail_response(&self, stream: u32, status: u16) {
        if let Some(filter) = worker::filter_of(stream) {
            let status = status.to_string();
            let set = |name: &[u8], value| set_header(filter, RESPONSE_HEADERS, name, value);
            set(b":status", Buffer::of(status.as_bytes()));
            set(b"content-length", Buffer::of(b"0"));
            set(b"content-type", Buffer::NONE);
            set(b"content-encoding", Buffer::NONE);
            self.deferred.borrow_mut().push(Deferred::Release(stream));
        }
    }

    fn release_headers(&self) {
        let stream = self.stream;
        self.deferred.borrow_mut().push(Deferred::Release(stream));
    }

    fn clear_route_cache(&self) -> bool {
        // SAFETY: the filter is there for as long as the hook.
        unsafe { envoy_dynamic_module_callback_http_clear_route_cache(self.filter) };
        true
    }

    fn shared(&self, key: &str) -> (Option<Vec<u8>>, Option<u32>) {
        shared::get(key)
    }

    fn set_shared(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        shared::set(key, value, version)
    }

    fn define_metric(&self, _: MetricKind, name: &str) -> Option<u32> {
        worker::define_metric(name)
    }

    fn add_to_metric(&self, id: u32, value: u64) {
        if !self.config.is_egress() {
            worker::count(id, value);
        } else if let Some(metric) = worker::metric(id) {
            self.add(&metric, value);
        }
    }

    fn record_metric(&self, id: u32, value: u64) {
        let Some(metric) = worker::metric(id) else {
            return;
        };
        let record = match FAMILIES[metric.family].kind {
            MetricKind::Histogram => {
                envoy_dynamic_module_callback_http_filter_record_histogram_value
            }
            MetricKind::Gauge | MetricKind::Counter => {
                envoy_dynamic_module_callback_http_filter_set_gauge
            }
        };
        let record = |envoy: &Envoy<'_>| {
            envoy.with_metric(&metric, |filter, id, labels| {
                // SAFETY: the filter is there for as long as the hook; the labels live to the end of the call.
                unsafe { record(filter, id, labels.as_ptr(), labels.len(), value) };
            });
        };
        if !(self.config.is_of_attempts() && with_newest(record)) {
            record(self);
        }
    }

    fn log(&self, level: LogLevel, line: &str) {
        log(level, line);
    }
}

impl Deferred {
    /// Does it, unless the stream is over by now. Envoy may call other hooks from here, and may end the stream of this one.
    pub fn run(self) {
        let (Self::Reply { stream, .. } | Self::Reset(stream) | Self::Release(stream)) = self;
        let Some(filter) = worker::filter_of(stream) else {
            return;
        };
        match self {
            Self::Reply {
                status,
                headers,
                body,
                ..
            } => {
                let headers: Vec<Header> = headers
                    .iter()
                    .map(|(name, value)| Header {
                        name: Buffer::of(name.as_bytes()),
                        value: Buffer::of(value.as_bytes()),
                    })
                    .collect();
                // SAFETY: the filter's stream is not over; headers and body live to the end of the call.
                unsafe {
                    envoy_dynamic_module_callback_http_send_response(
                        filter,
                        u32::from(status),
                        headers.as_ptr(),
                        headers.len(),
                        Buffer::of(&body),
                        Buffer::of(DETAILS.as_bytes()),
                    );
                }
            }
            // SAFETY: the filter's stream is not over.
            Self::Reset(_) => unsafe {
                let details = Buffer::of(DETAILS.as_bytes());
                envoy_dynamic_module_callback_http_filter_reset_stream(
                    filter,
                    LOCAL_RESET,
                    details,
                );
            },
            // SAFETY: the filter's stream is not over.
            Self::Release(_) => unsafe {
                envoy_dynamic_module_callback_http_filter_continue_encoding(filter);
            },
        }
    }
}

/// Writes a line to Envoy's log.
pub fn log(level: LogLevel, line: &str) {
    let level = match level {
        LogLevel::Warn => WARN,
        LogLevel::Error => ERROR,
    };
    // SAFETY: Envoy copies the line.
    unsafe { envoy_dynamic_module_callback_log(level, Buffer::of(line.as_bytes())) };
}

fn set_header(filter: Ptr, map: u32, name: &[u8], value: Buffer) {
    // SAFETY: the filter is there for as long as the hook; Envoy copies both.
    unsafe {
        envoy_dynamic_module_callback_http_set_header(filter, map, Buffer::of(name), value);
    }
}

fn map(side: Side) -> u32 {
    match side {
        Side::Request => REQUEST_HEADERS,
        Side::Response => RESPONSE_HEADERS,
    }
}

/// What is buffered of a body, and what came.
fn bodies(side: Side) -> [u32; 2] {
    match side {
        Side::Request => [BUFFERED_REQUEST_BODY, RECEIVED_REQUEST_BODY],
        Side::Response => [BUFFERED_RESPONSE_BODY, RECEIVED_RESPONSE_BODY],
    }
}
