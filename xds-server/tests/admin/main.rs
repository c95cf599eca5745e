//! The admin API and the commands that use it, with a running control plane.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests.

mod access;
mod elsewhere;
mod failures;
mod grpc;
mod openapi;
mod pki;
mod server;
mod top;
