//! The simulator itself, tested.
#![allow(clippy::unwrap_used)] // Tests.

mod replicas;
mod reports;
mod service;
mod traces;
mod worlds;
