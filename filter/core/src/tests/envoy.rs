//! A host in memory: one Envoy with its shared memory and statistics, and the streams of its workers.

use crate::header_map::HeaderMap;
use crate::host::{Action, ConnectionHost, Fact, Host, LogLevel, MetricKind, Side};
use crate::plugins::{Configured, Plugin};
use crate::worker::{FAMILIES, Worker};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// An Envoy that is stopped at one moment, until the test moves its clock.
#[derive(Default)]
pub struct Envoy {
    now_ms: Cell<u64>,
    /// Seconds by which the wall clock was set.
    set_by: Cell<i64>,
    shared: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    ids: RefCell<Vec<String>>,
    values: RefCell<BTreeMap<u32, u64>>,
    /// Streams that were ended, by their ids.
    pub ended: RefCell<Vec<u32>>,
    /// What Envoy knows of TCP connections that are open, by their ids.
    pub connections: RefCell<BTreeMap<u32, BTreeMap<Fact, String>>>,
    /// The present connection, if the hook is not about a request.
    entered: Cell<Option<u32>>,
    /// Streams whose response became an error, by their ids, and its status.
    pub failed: RefCell<Vec<(u32, u16)>>,
    /// Lines of the log.
    pub lines: RefCell<Vec<String>>,
    /// The route cache cannot be cleared.
    pub has_no_routes: Cell<bool>,
}

/// When the tests begin, in milliseconds since the Unix epoch.
pub const START_MS: u64 = 1_700_000_000_000;

impl Envoy {
    pub fn start() -> Rc<Self> {
        let envoy = Self::default();
        envoy.now_ms.set(START_MS);
        Rc::new(envoy)
    }

    pub fn pass(&self, milliseconds: u64) {
        self.now_ms.set(self.now_ms.get() + milliseconds);
    }

    /// Time passes in which the worker runs: it ticks as it does on Envoy.
    pub fn run(self: &Rc<Self>, worker: &mut Worker, milliseconds: u64) {
        for _ in 0..milliseconds / 100 {
            self.pass(100);
            worker.tick(&Stream::new(self, 0));
        }
    }

    /// The wall clock is set by so many seconds.
    pub fn set_clock(&self, seconds: i64) {
        self.set_by.set(self.set_by.get() + seconds);
    }

    /// The value of a metric; 0 for one that was never written.
    pub fn metric(&self, name: &str) -> u64 {
        let ids = self.ids.borrow();
        let id = ids.iter().position(|known| known == name);
        let id = id.and_then(|id| u32::try_from(id).ok());
        id.and_then(|id| self.values.borrow().get(&id).copied())
            .unwrap_or(0)
    }

    /// A plugin by its root id and configuration.
    pub fn plugin(self: &Rc<Self>, root_id: &str, configuration: &str) -> Configured {
        let stream = Stream::new(self, 0);
        let worker = &mut Worker::default();
        Configured::new(
            &stream,
            worker,
            root_id.as_bytes(),
            configuration.as_bytes(),
        )
        .unwrap()
    }
}

/// Names and values.
type Headers = Vec<(String, Vec<u8>)>;

fn owned(headers: &[(&str, &str)]) -> Headers {
    let headers = headers.iter();
    let headers = headers.map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
    headers.collect()
}

/// A stream of an Envoy: what passes through one plugin.
pub struct Stream {
    envoy: Rc<Envoy>,
    id: u32,
    headers: RefCell<BTreeMap<Side, Headers>>,
    /// Trailers that are left.
    trailers: RefCell<BTreeMap<Side, Headers>>,
    bodies: RefCell<BTreeMap<Side, Vec<u8>>>,
    facts: RefCell<BTreeMap<Fact, String>>,
    flags: Cell<Option<u64>>,
    pub log_fields: RefCell<BTreeMap<String, String>>,
    /// What was answered from here: status, headers, body.
    pub reply: RefCell<Option<Reply>>,
    pub is_reset: Cell<bool>,
    /// The response's headers went on without its body.
    pub has_released_headers: Cell<bool>,
    pub routes: Cell<u32>,
    /// Host calls by kind since the last [`Stream::take_calls`].
    calls: RefCell<Calls>,
}

/// Host calls by kind.
pub type Calls = BTreeMap<&'static str, u32>;

/// An answer that a plugin gave itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Stream {
    pub fn new(envoy: &Rc<Envoy>, id: u32) -> Self {
        Self {
            envoy: envoy.clone(),
            id,
            headers: RefCell::default(),
            trailers: RefCell::default(),
            bodies: RefCell::default(),
            facts: RefCell::default(),
            flags: Cell::new(None),
            log_fields: RefCell::default(),
            reply: RefCell::default(),
            is_reset: Cell::new(false),
            has_released_headers: Cell::new(false),
            routes: Cell::new(0),
            calls: RefCell::default(),
        }
    }

    /// The host calls since the last time.
    pub fn take_calls(&self) -> Calls {
        self.calls.take()
    }

    fn count(&self, kind: &'static str) {
        *self.calls.borrow_mut().entry(kind).or_default() += 1;
    }

    /// A call that returns bytes, which Envoy enters the VM once more for, if there are any.
    fn read<T>(&self, kind: &'static str, read: Option<T>) -> Option<T> {
        self.count(if read.is_some() { kind } else { "absent" });
        read
    }

    pub fn fact_is(&self, fact: Fact, value: &str) {
        self.facts.borrow_mut().insert(fact, value.to_owned());
    }

    pub fn flags_are(&self, flags: u64) {
        self.flags.set(Some(flags));
    }

    /// Whether trailers are left.
    pub fn has_trailers(&self, side: Side) -> bool {
        self.trailers.borrow().contains_key(&side)
    }

    /// All headers as they are now.
    pub fn headers_now(&self, side: Side) -> Vec<(String, String)> {
        let headers = self.headers.borrow();
        let headers = headers.get(&side).into_iter().flatten();
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        headers
            .map(|(name, value)| (name.clone(), text(value)))
            .collect()
    }

    /// A header as it is now.
    pub fn value(&self, side: Side, name: &str) -> Option<String> {
        let value = self.header(side, name)?;
        Some(String::from_utf8(value).unwrap())
    }

    fn come(&self, side: Side, headers: &[(&str, &str)]) {
        self.headers.borrow_mut().insert(side, owned(headers));
    }

    /// Trailers come, before their hook is called.
    pub fn trailers_come(&self, side: Side, trailers: &[(&str, &str)]) {
        self.trailers.borrow_mut().insert(side, owned(trailers));
    }

    /// The headers of a request come.
    pub fn request(
        &self,
        plugin: &mut dyn Plugin,
        worker: &mut Worker,
        headers: &[(&str, &str)],
        ends: bool,
    ) -> Action {
        self.come(Side::Request, headers);
        plugin.on_request_headers(self, worker, ends)
    }

    /// The headers of a response come.
    pub fn response(
        &self,
        plugin: &mut dyn Plugin,
        worker: &mut Worker,
        headers: &[(&str, &str)],
        ends: bool,
    ) -> Action {
        self.come(Side::Response, headers);
        plugin.on_response_headers(self, worker, ends)
    }

    /// A piece of a body comes, behind what is held. What goes on, if the plugin lets it.
    pub fn piece(
        &self,
        plugin: &mut dyn Plugin,
        worker: &mut Worker,
        side: Side,
        piece: &str,
        ends: bool,
    ) -> Option<String> {
        self.bytes(plugin, worker, side, piece.as_bytes(), ends)
    }

    /// The same with any bytes.
    pub fn bytes(
        &self,
        plugin: &mut dyn Plugin,
        worker: &mut Worker,
        side: Side,
        piece: &[u8],
        ends: bool,
    ) -> Option<String> {
        let size = {
            let mut bodies = self.bodies.borrow_mut();
            let body = bodies.entry(side).or_default();
            body.extend_from_slice(piece);
            body.len()
        };
        let action = match side {
            Side::Request => plugin.on_request_body(self, worker, size, ends),
            Side::Response => plugin.on_response_body(self, worker, size, ends),
        };
        let body = self.bodies.borrow().get(&side).cloned().unwrap_or_default();
        if action != Action::Pause {
            self.bodies.borrow_mut().remove(&side);
        }
        (action == Action::Continue).then(|| String::from_utf8(body).unwrap())
    }

    pub fn id(&self) -> u32 {
        self.id
    }
}

impl Host for Stream {
    fn now(&self) -> Duration {
        self.count("clock");
        let set = self.envoy.set_by.get().saturating_mul(1000);
        Duration::from_millis(self.envoy.now_ms.get().saturating_add_signed(set))
    }

    fn monotonic(&self) -> Duration {
        self.count("clock");
        Duration::from_millis(self.envoy.now_ms.get())
    }

    fn header(&self, side: Side, name: &str) -> Option<Vec<u8>> {
        let headers = self.headers.borrow();
        let own = headers
            .get(&side)?
            .iter()
            .filter(|(known, _)| known == name);
        let values: Vec<&[u8]> = own.map(|(_, value)| value.as_slice()).collect();
        let joined = (!values.is_empty()).then(|| values.join(&b","[..]));
        self.read("header", joined)
    }

    fn headers(&self, side: Side) -> HeaderMap {
        self.count("headers");
        let headers = self.headers.borrow();
        let headers = headers.get(&side).into_iter().flatten();
        headers.map(|(name, value)| (name, value)).collect()
    }

    fn set_header(&self, side: Side, name: &str, value: Option<&str>) {
        self.count("set header");
        let mut headers = self.headers.borrow_mut();
        let headers = headers.entry(side).or_default();
        headers.retain(|(known, _)| known != name);
        headers.extend(value.map(|value| (name.to_owned(), value.as_bytes().to_vec())));
    }

    fn remove_trailers(&self, side: Side) {
        self.trailers.borrow_mut().remove(&side);
    }

    fn body(&self, side: Side, from: usize, size: usize) -> Vec<u8> {
        self.count("body");
        let bodies = self.bodies.borrow();
        let body = bodies.get(&side).map(Vec::as_slice).unwrap_or_default();
        let from = from.min(body.len());
        body[from..from.saturating_add(size).min(body.len())].to_vec()
    }

    fn set_body(&self, side: Side, size: usize, bytes: &[u8]) {
        self.count("set body");
        let mut bodies = self.bodies.borrow_mut();
        let body = bodies.entry(side).or_default();
        let size = size.min(body.len());
        body.splice(..size, bytes.iter().copied());
    }

    fn fact(&self, fact: Fact) -> Option<String> {
        if let Some(id) = self.envoy.entered.get() {
            let connections = self.envoy.connections.borrow();
            return connections.get(&id)?.get(&fact).cloned();
        }
        self.read("fact", self.facts.borrow().get(&fact).cloned())
    }

    fn response_flags(&self) -> Option<u64> {
        self.read("fact", self.flags.get())
    }

    fn set_log_field(&self, name: &str, value: &str) {
        self.count("set log field");
        let mut fields = self.log_fields.borrow_mut();
        fields.insert(name.to_owned(), value.to_owned());
    }

    fn reply(&self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        self.count("reply");
        let headers = headers.iter();
        *self.reply.borrow_mut() = Some(Reply {
            status,
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: String::from_utf8(body.to_vec()).unwrap(),
        });
    }

    fn reset(&self) {
        self.is_reset.set(true);
    }

    fn end_stream(&self, stream: u32) {
        self.envoy.ended.borrow_mut().push(stream);
    }

    fn fail_response(&self, stream: u32, status: u16) {
        self.envoy.failed.borrow_mut().push((stream, status));
    }

    fn release_headers(&self) {
        self.has_released_headers.set(true);
    }

    fn clear_route_cache(&self) -> bool {
        self.count("route");
        self.routes.set(self.routes.get() + 1);
        !self.envoy.has_no_routes.get()
    }

    fn shared(&self, key: &str) -> (Option<Vec<u8>>, Option<u32>) {
        let shared = self.envoy.shared.borrow().get(key).cloned();
        self.read("shared", shared).unzip()
    }

    fn set_shared(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        self.count("set shared");
        let mut shared = self.envoy.shared.borrow_mut();
        let (before, now) = shared.entry(key.to_owned()).or_default();
        if version.is_some_and(|version| version != *now) {
            return false;
        }
        (*before, *now) = (value.to_vec(), *now + 1);
        true
    }

    fn define_metric(&self, kind: MetricKind, name: &str) -> Option<u32> {
        // Hosts may know no others.
        let mut parts = name.split(';');
        let family = parts.next().unwrap();
        let family = FAMILIES.iter().find(|known| known.name == family).unwrap();
        let labels: Vec<&str> = parts
            .map(|label| label.split_once('=').unwrap().0)
            .collect();
        assert_eq!(
            (family.kind, family.labels),
            (kind, labels.as_slice()),
            "{name}"
        );
        let mut ids = self.envoy.ids.borrow_mut();
        ids.push(name.to_owned());
        u32::try_from(ids.len() - 1).ok()
    }

    fn add_to_metric(&self, id: u32, value: u64) {
        self.count("metric");
        *self.envoy.values.borrow_mut().entry(id).or_default() += value;
    }

    fn record_metric(&self, id: u32, value: u64) {
        self.count("metric");
        self.envoy.values.borrow_mut().insert(id, value);
    }

    fn log(&self, _: LogLevel, line: &str) {
        self.envoy.lines.borrow_mut().push(line.to_owned());
    }
}

impl ConnectionHost for Stream {
    fn enter(&self, connection: u32) -> bool {
        let is_open = self.envoy.connections.borrow().contains_key(&connection);
        if is_open {
            self.envoy.entered.set(Some(connection));
        }
        is_open
    }

    fn close_connection(&self) {
        let entered = self.envoy.entered.get().unwrap_or(self.id);
        self.envoy.ended.borrow_mut().push(entered);
    }
}
