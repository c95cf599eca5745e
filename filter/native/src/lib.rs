//! Meridian's Envoy filter as a dynamic module: the plugins of `meridian-filter-core` behind Envoy's C ABI. One shared object; what a
//! plugin does is the `filter_name` in Envoy's configuration.
#![allow(missing_docs)] // Envoy's own names.

#[allow(unsafe_code)] // Envoy's functions, and addresses that Envoy passes.
mod abi;
mod config;
#[allow(unsafe_code)] // Calls of Envoy's functions.
mod envoy;
#[allow(unsafe_code)] // What Envoy calls by name, with addresses of what the module gave it.
mod hooks;
#[allow(unsafe_code)] // Calls of Envoy's functions.
mod metrics;
mod plugins;
mod probe;
mod shared;
#[allow(unsafe_code)] // Envoy's schedulers.
mod ticks;
mod worker;
