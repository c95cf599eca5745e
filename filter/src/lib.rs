//! meridian-filter
