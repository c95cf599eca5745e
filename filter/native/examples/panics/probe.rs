//! Panics where a request wants them, and tells what a worker keeps.
//!
//! The header `x-panic` has four words with a `.` between them: a plugin, a hook, `before` or `after` what the plugin does there, and
//! which call of the hook, from 1 on. The hook `new` is that of the next stream of this worker that gets such a plugin. `worker.tick` is
//! the worker's next tick. `worker.held` is no panic: the answer says what the worker keeps.

use crate::config::Config;
use crate::worker;
use meridian_filter_core::host::{Action, Host, Side};
use meridian_filter_core::plugins::Plugin;
use meridian_filter_core::worker::Worker;
use std::cell::{Cell, RefCell};
use std::thread;

const HEADER: &str = "x-panic";

thread_local! {
    /// The plugin that panics when it is made next.
    static NEW: RefCell<Vec<u8>> = RefCell::default();
    static TICK: Cell<bool> = Cell::default();
}

/// A plugin is made for a stream. `root`: what it does.
pub fn new_plugin(root: &[u8], plugin: Box<dyn Plugin>) -> Box<dyn Plugin> {
    let is_wanted = NEW.with_borrow_mut(|wanted| {
        let is_wanted = wanted == root;
        if is_wanted {
            wanted.clear();
        }
        is_wanted
    });
    panic_if(is_wanted);
    Box::new(Panicking {
        root: root.to_vec(),
        plugin,
        wanted: None,
        calls: 0,
    })
}

/// A worker's tick begins.
pub fn tick() {
    panic_if(TICK.take());
}

#[allow(clippy::panic)] // What it is for.
fn panic_if(is_wanted: bool) {
    if is_wanted {
        panic!("a test wants it");
    }
}

/// A plugin, and where it panics.
struct Panicking {
    root: Vec<u8>,
    plugin: Box<dyn Plugin>,
    wanted: Option<Wanted>,
    /// Calls of the hook so far.
    calls: u32,
}

/// Where a plugin panics.
struct Wanted {
    hook: String,
    is_after: bool,
    call: u32,
}

impl Panicking {
    /// Reads what the request wants of this plugin.
    fn read(&mut self, host: &dyn Host) {
        let Some(value) = host.header(Side::Request, HEADER) else {
            return;
        };
        let value = String::from_utf8_lossy(&value).into_owned();
        let words: Vec<&str> = value.split('.').collect();
        match words[..] {
            ["worker", "tick"] if self.root == b"router" => TICK.set(true),
            [root, "new"] if self.root == b"router" || self.root == b"pool" => {
                NEW.with_borrow_mut(|wanted| root.as_bytes().clone_into(wanted));
            }
            [root, hook, when, call] if root.as_bytes() == self.root => {
                self.wanted = Some(Wanted {
                    hook: hook.to_owned(),
                    is_after: when == "after",
                    call: call.parse().unwrap_or(1),
                });
            }
            _ => {}
        }
    }

    fn hook<R>(&mut self, name: &str, hook: impl FnOnce(&mut dyn Plugin) -> R) -> R {
        let wanted = self.wanted.as_ref().filter(|wanted| wanted.hook == name);
        let Some(wanted) = wanted else {
            return hook(self.plugin.as_mut());
        };
        self.calls += 1;
        let (is_wanted, is_after) = (wanted.call == self.calls, wanted.is_after);
        panic_if(is_wanted && !is_after);
        let result = hook(self.plugin.as_mut());
        panic_if(is_wanted && is_after);
        result
    }
}

impl Plugin for Panicking {
    fn on_request_headers(&mut self, host: &dyn Host, worker: &mut Worker, ends: bool) -> Action {
        self.read(host);
        if self.root == b"router"
            && host.header(Side::Request, HEADER).as_deref() == Some(b"worker.held")
        {
            host.reply(200, &[], held(worker).as_bytes());
            return Action::Pause;
        }
        self.hook("request_headers", |plugin| {
            plugin.on_request_headers(host, worker, ends)
        })
    }

    fn on_request_body(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        size: usize,
        ends: bool,
    ) -> Action {
        self.hook("request_body", |plugin| {
            plugin.on_request_body(host, worker, size, ends)
        })
    }

    fn on_request_trailers(&mut self, host: &dyn Host, worker: &mut Worker) -> Action {
        self.hook("request_trailers", |plugin| {
            plugin.on_request_trailers(host, worker)
        })
    }

    fn on_response_headers(&mut self, host: &dyn Host, worker: &mut Worker, ends: bool) -> Action {
        self.hook("response_headers", |plugin| {
            plugin.on_response_headers(host, worker, ends)
        })
    }

    fn on_response_body(
        &mut self,
        host: &dyn Host,
        worker: &mut Worker,
        size: usize,
        ends: bool,
    ) -> Action {
        self.hook("response_body", |plugin| {
            plugin.on_response_body(host, worker, size, ends)
        })
    }

    fn on_response_trailers(&mut self, host: &dyn Host, worker: &mut Worker) -> Action {
        self.hook("response_trailers", |plugin| {
            plugin.on_response_trailers(host, worker)
        })
    }

    fn on_done(&mut self, host: &dyn Host, worker: &mut Worker) {
        self.hook("done", |plugin| plugin.on_done(host, worker));
    }

    fn on_log(&mut self, host: &dyn Host, worker: &mut Worker) {
        self.hook("log", |plugin| plugin.on_log(host, worker));
    }
}

/// What a worker keeps but for the stream that asks, a line for each kind: `kind number`.
fn held(requests: &Worker) -> String {
    let egress = Config {
        number: u64::MAX,
        root: b"egress".to_vec(),
        policy: Vec::new(),
        metrics: Vec::new(),
    };
    let of_egress = worker::with(&egress, |egress| egress.held());
    let (streams, attempts) = worker::streams();
    let of_streams = [
        ("streams", streams.saturating_sub(1)),
        ("attempts", attempts),
    ];
    let of_streams = of_streams.map(|(kind, number)| (kind, number as u64));
    let all = requests.held().into_iter().chain(of_egress);
    let lines = all.chain(of_streams);
    let lines = lines.map(|(kind, number)| format!("{kind} {number}\n"));
    let lines: String = lines.collect();
    format!("{:?}\n{lines}", thread::current().id())
}
