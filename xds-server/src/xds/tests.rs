//! Tests of the protocol: one per rule, and random conversations with a model of a correct client.

mod client;
mod delta;
mod interest;
mod model;
mod order;
mod server;
mod sharing;
mod sotw;
