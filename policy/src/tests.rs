//! Tests of the core as a whole: tables of classifications and decisions, and properties of random fleets.

mod any_fleet;
mod classification;
mod closed_loop;
mod decisions;
pub(crate) mod fleets;
mod freshness;
mod guests;
mod misdirection;
mod needs;
mod observations;
mod patience;
mod placements;
mod planning;
mod properties;
mod refusals;
mod requests;
mod servers;
mod shares;
mod signs;
mod silence;
mod tiers;
mod watch;
mod ways;
