//! meridian-proto
