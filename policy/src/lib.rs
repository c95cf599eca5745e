//! meridian-policy
