//! The dynamic module with panics in it, for the scenario `native-panics`: a request says where. All but [`probe`] is the module itself.
#![allow(missing_docs)] // Envoy's own names.

#[allow(unsafe_code)] // As in the module itself, here and below.
#[path = "../../src/abi.rs"]
mod abi;
#[path = "../../src/config.rs"]
mod config;
#[allow(unsafe_code)]
#[path = "../../src/envoy.rs"]
mod envoy;
#[allow(unsafe_code)]
#[path = "../../src/hooks.rs"]
mod hooks;
#[allow(unsafe_code)]
#[path = "../../src/metrics.rs"]
mod metrics;
#[path = "../../src/plugins.rs"]
mod plugins;
mod probe;
#[path = "../../src/shared.rs"]
mod shared;
#[allow(unsafe_code)]
#[path = "../../src/ticks.rs"]
mod ticks;
#[path = "../../src/worker.rs"]
mod worker;
