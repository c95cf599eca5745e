//! Tests of whole decisions: tables of classifications and decisions, and properties of random fleets.

mod attempt_log;
mod breaking;
mod classification;
mod connections;
mod cost;
mod decisions;
mod depth;
mod draining;
mod egressing;
mod envoy;
mod fast_path;
mod guarding;
mod instructions;
mod misdirection;
mod needs;
mod paths;
mod per_try_timeout;
mod properties;
mod refusals;
mod requests;
mod routing;
mod servers;
mod serving;
mod shares;
mod tiers;
