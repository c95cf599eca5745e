//! Tests of the planner as a whole: tables, closed loops, and properties of random streams of observations.

mod closed_loop;
mod freshness;
mod intents;
mod last_breach;
mod moved;
mod observations;
mod placements;
mod planning;
mod reserved_headroom;
mod round_trips;
mod silence;
mod tiers;
mod watch;
