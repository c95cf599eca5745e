//! Tests of the core as a whole: tables of classifications and decisions, and properties of random fleets.

mod any_fleet;
mod classification;
mod decisions;
mod fleets;
mod misdirection;
mod properties;
mod refusals;
mod requests;
