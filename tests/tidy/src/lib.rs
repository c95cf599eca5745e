//! The shape of the workspace: every Rust file is part of a crate, crates and modules depend in one direction, no files import each
//! other in a circle, and functions fit a screen.
#![cfg(test)]

mod crates;
mod functions;
mod imports;
mod layers;
mod sources;
