//! Meridian's filter without Envoy: what becomes of one request.
//!
//! No IO, no clock, no randomness, no async: what the Envoy around it knows and does comes through [`host::Host`]. The crate is
//! compiled natively for its tests and for tools, and into the filter.

pub mod answer;
pub mod body;
pub mod budget;
pub mod classify;
pub mod claude;
pub mod clock;
pub mod context;
pub mod cooling;
pub mod decision;
pub mod egress;
pub mod guard;
pub mod host;
pub mod lane;
pub mod models;
pub mod needs;
pub mod pace;
pub mod per_try_timeout;
pub mod plugins;
pub mod refusal;
pub mod request;
pub mod router;
pub mod routes;
pub mod shed;
pub mod slots;
pub mod tier;
pub mod worker;

#[cfg(test)]
mod tests;
