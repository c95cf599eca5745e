//! Meridian's Envoy filter. One .wasm; each plugin root is a `root_id` in Envoy's configuration:
//!
//! - `router`: decides where a request goes (see [`router`]).
//!
//! Callbacks and host calls only: what is decided, and what callers are told, is in `meridian-policy`.
#![allow(unsafe_code, missing_docs)] // `proxy_wasm::main!` exports the ABI's entry points.

mod router;

use proxy_wasm::traits::RootContext;
use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(router::Root::default()) });
}}
