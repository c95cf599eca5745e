//! Meridian's Envoy filter: the plugins of `meridian-filter-core` behind proxy-wasm's callbacks and host calls. One .wasm; what a
//! plugin does is the `root_id` in Envoy's configuration.
#![allow(unsafe_code, missing_docs)] // `proxy_wasm::main!` exports the ABI's entry points.

mod host;

use host::{Envoy, log, withhold};
use meridian_filter_core::host::{Action, Host, LogLevel};
use meridian_filter_core::plugins::{Configured, Plugin};
use meridian_filter_core::worker::{FOLLOW_EVERY, Worker};
use proxy_wasm::traits::{Context, HttpContext, RootContext, StreamContext};
use proxy_wasm::types;
use std::cell::RefCell;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(types::LogLevel::Info);
    proxy_wasm::set_root_context(|id| -> Box<dyn RootContext> { Box::new(Root { id, plugin: Some(Configured::Router(None)) }) });
}}

thread_local! {
    /// A VM has one thread, so this is the state of one worker.
    static WORKER: RefCell<Worker> = RefCell::default();
}

/// Runs a hook with the worker's state. Envoy 1.40 calls no hook from within a host call, also of those that end a stream: every
/// scenario checks it.
fn with_worker<R>(hook: impl FnOnce(&mut Worker) -> R, otherwise: R) -> R {
    WORKER.with(|worker| match worker.try_borrow_mut() {
        Ok(mut worker) => hook(&mut worker),
        Err(_) => {
            log(LogLevel::Error, "meridian: a hook was called within a hook");
            otherwise
        }
    })
}

/// The plugin for TCP connections; all others are for requests.
const RETRIEVAL: &[u8] = b"retrieval";

/// One plugin configuration.
struct Root {
    id: u32,
    /// `None` for the plugin for connections: its policy is the worker's.
    plugin: Option<Configured>,
}

impl Context for Root {}

impl RootContext for Root {
    /// `false` makes Envoy reject the configuration and keep the one before.
    fn on_configure(&mut self, _: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        let root_id = self
            .get_property(vec!["plugin_root_id"])
            .unwrap_or_default();
        let configured = with_worker(
            |worker| {
                if root_id == RETRIEVAL {
                    self.set_tick_period(FOLLOW_EVERY);
                    worker.connections.arrived(&Envoy, &configuration)?;
                    return Ok(None);
                }
                Configured::new(&Envoy, worker, &root_id, &configuration).map(Some)
            },
            Err("configured within a hook".into()),
        );
        match configured {
            Ok(plugin) => {
                if let Some(period) = plugin.as_ref().and_then(Configured::tick_period) {
                    self.set_tick_period(period);
                }
                self.plugin = plugin;
                true
            }
            Err(error) => {
                log(LogLevel::Error, &format!("meridian: {error}"));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let is_of_requests = self.plugin.is_some();
        let tick = |worker: &mut Worker| {
            if is_of_requests {
                worker.tick(&Envoy);
            } else {
                worker.connections.follow(&Envoy);
            }
        };
        with_worker(tick, ());
    }

    fn get_type(&self) -> Option<types::ContextType> {
        Some(match self.plugin {
            Some(_) => types::ContextType::HttpContext,
            None => types::ContextType::StreamContext,
        })
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream {
            id: context,
            root: self.id,
            plugin: self.plugin.as_ref()?.stream(context),
        }))
    }

    fn create_stream_context(&self, context: u32) -> Option<Box<dyn StreamContext>> {
        with_worker(|worker| worker.connections.began(context), ());
        Some(Box::new(Connection { id: context }))
    }
}

/// One stream's plugin.
struct Stream {
    id: u32,
    /// The id of its plugin configuration.
    root: u32,
    plugin: Box<dyn Plugin>,
}

impl Stream {
    fn hook(
        &mut self,
        hook: impl FnOnce(&mut dyn Plugin, &dyn Host, &mut Worker) -> Action,
    ) -> types::Action {
        let plugin = self.plugin.as_mut();
        match with_worker(|worker| hook(plugin, &Envoy, worker), Action::Pause) {
            Action::Continue => types::Action::Continue,
            Action::Pause => types::Action::Pause,
            Action::Withhold => {
                withhold(self.id, self.root);
                types::Action::Pause
            }
        }
    }
}

impl Context for Stream {
    fn on_done(&mut self) -> bool {
        with_worker(|worker| self.plugin.on_done(&Envoy, worker), ());
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, ends: bool) -> types::Action {
        self.hook(|plugin, host, worker| plugin.on_request_headers(host, worker, ends))
    }

    fn on_http_request_body(&mut self, size: usize, ends: bool) -> types::Action {
        self.hook(|plugin, host, worker| plugin.on_request_body(host, worker, size, ends))
    }

    /// A body that is followed by trailers ends here.
    fn on_http_request_trailers(&mut self, _: usize) -> types::Action {
        self.hook(|plugin, host, worker| plugin.on_request_trailers(host, worker))
    }

    fn on_http_response_headers(&mut self, _: usize, ends: bool) -> types::Action {
        self.hook(|plugin, host, worker| plugin.on_response_headers(host, worker, ends))
    }

    fn on_http_response_body(&mut self, size: usize, ends: bool) -> types::Action {
        self.hook(|plugin, host, worker| plugin.on_response_body(host, worker, size, ends))
    }

    /// A body that is followed by trailers ends here.
    fn on_http_response_trailers(&mut self, _: usize) -> types::Action {
        self.hook(|plugin, host, worker| plugin.on_response_trailers(host, worker))
    }

    fn on_log(&mut self) {
        with_worker(|worker| self.plugin.on_log(&Envoy, worker), ());
    }
}

/// One TCP connection.
struct Connection {
    id: u32,
}

impl Connection {
    fn pass(&self) -> types::Action {
        let passes = with_worker(|worker| worker.connections.passes(&Envoy, self.id), false);
        if passes {
            types::Action::Continue
        } else {
            types::Action::Pause
        }
    }
}

impl Context for Connection {
    fn on_done(&mut self) -> bool {
        with_worker(|worker| worker.connections.ended(self.id), ());
        true
    }
}

impl StreamContext for Connection {
    fn on_downstream_data(&mut self, _: usize, _: bool) -> types::Action {
        self.pass()
    }

    fn on_upstream_data(&mut self, _: usize, _: bool) -> types::Action {
        self.pass()
    }
}
