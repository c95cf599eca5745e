//! The gateway's part of Meridian without Envoy: the decision about one request, and the processing of its response.
//!
//! The crate does no IO, reads no clock, and is neither random nor async. Everything from Envoy comes through [`host::Host`].
//! The crate compiles natively for tests and tools, and to wasm for the filter.

mod allowed_fields;
pub mod answer;
pub mod availability;
pub mod body;
mod bounded_json;
pub mod breaker;
pub mod budget;
pub mod classify;
pub mod claude;
pub mod clock;
pub mod context;
pub mod decision;
pub mod edit;
pub mod egress;
pub mod egress_refusal;
mod error_body;
mod excerpt;
pub mod guard;
pub mod header_map;
pub mod hedges;
pub mod host;
pub mod lane;
pub mod missing_model;
pub mod models;
pub mod needs;
pub mod pace;
pub mod per_try_timeout;
pub mod plugins;
pub mod refusal;
mod rename;
pub mod request;
pub mod router;
pub mod routes;
pub mod shed;
pub mod shed_level;
mod sliding_window;
pub mod slots;
pub mod tier;
pub mod worker;

#[cfg(test)]
mod tests;
