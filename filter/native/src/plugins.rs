//! The plugins of one worker thread, each made once of a configuration.

use crate::config::{Config, is_in_use};
use crate::envoy::{Envoy, log};
use crate::{probe, worker};
use hashbrown::HashMap;
use meridian_filter_core::host::{Action, Host, LogLevel};
use meridian_filter_core::plugins::{Configured, Plugin, failed};
use meridian_filter_core::worker::Worker;
use std::cell::RefCell;
use std::ptr;

thread_local! {
    /// By the numbers of their configurations.
    static PLUGINS: RefCell<HashMap<u64, Configured>> = RefCell::default();
}

/// The plugin of a new stream. `None` if its configuration is not understood.
pub fn plugin(config: &Config, stream: u32) -> Option<Box<dyn Plugin>> {
    PLUGINS.with_borrow_mut(|plugins| {
        if !plugins.contains_key(&config.number) {
            plugins.retain(|number, _| is_in_use(*number));
            plugins.insert(config.number, configured(config)?);
        }
        let plugin = plugins.get(&config.number)?.stream(stream);
        Some(probe::new_plugin(&config.root, plugin))
    })
}

/// In the place of a plugin that could not be made: its stream is answered with an error.
struct Unmade {
    /// What the plugin would have done.
    root: Vec<u8>,
}

/// What takes the place of the plugin of a new stream, which could not be made.
pub fn unmade(config: &Config) -> Box<dyn Plugin> {
    let root = config.root.clone();
    Box::new(Unmade { root })
}

impl Plugin for Unmade {
    fn on_request_headers(&mut self, host: &dyn Host, worker: &mut Worker, _: bool) -> Action {
        failed(host, worker, &self.root, None);
        Action::Pause
    }

    /// The answer that Envoy was given.
    fn on_response_headers(&mut self, _: &dyn Host, _: &mut Worker, _: bool) -> Action {
        Action::Continue
    }
}

/// A plugin of a configuration. `None`, and a line in the log, if it is not understood.
pub fn configured(config: &Config) -> Option<Configured> {
    let host = Envoy::of(ptr::null_mut(), 0, config);
    let configured = worker::with(config, |worker| {
        Configured::new(&host, worker, &config.root, &config.policy)
    });
    configured
        .inspect_err(|error| log(LogLevel::Error, &format!("meridian: {error}")))
        .ok()
}
