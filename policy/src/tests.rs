//! Tests of the core as a whole: tables of classifications and decisions, and properties of random fleets.

mod classification;
mod decisions;
mod fleets;
mod properties;
