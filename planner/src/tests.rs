//! Tests of the planner as a whole: tables, closed loops, and properties of random streams of observations.

mod closed_loop;
mod freshness;
mod guests;
mod last_breach;
mod observations;
mod placements;
mod planning;
mod silence;
mod tiers;
mod watch;
mod ways;
