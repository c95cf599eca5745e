//! Tests of the simulator.
#![allow(clippy::unwrap_used)] // Tests.

mod replicas;
mod reports;
mod runs;
mod service;
mod traces;
