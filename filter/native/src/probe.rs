//! Where the module of a test panics (`examples/panics/`). This one does nothing there.

use meridian_filter_core::plugins::Plugin;

/// A plugin is made for a stream. `root`: what it does.
pub fn new_plugin(_root: &[u8], plugin: Box<dyn Plugin>) -> Box<dyn Plugin> {
    plugin
}

/// A worker's tick begins.
pub fn tick() {}
