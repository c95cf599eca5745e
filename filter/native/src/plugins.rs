//! The plugins of one worker thread, each made once of a configuration.

use crate::config::{Config, is_in_use};
use crate::envoy::{Envoy, log};
use crate::worker;
use hashbrown::HashMap;
use meridian_filter_core::host::LogLevel;
use meridian_filter_core::plugins::{Configured, Plugin};
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
        Some(plugins.get(&config.number)?.stream(stream))
    })
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
