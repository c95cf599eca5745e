//! Tests of whole decisions: tables of classifications and decisions, and properties of random fleets.

mod classification;
mod decisions;
mod fast_path;
mod misdirection;
mod needs;
mod per_try_timeout;
mod properties;
mod refusals;
mod requests;
mod servers;
mod shares;
mod tiers;
