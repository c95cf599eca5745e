//! The parts of every world, and the place of the workspace.

use std::path::{Path, PathBuf};

/// The regions, by their place in the world's addresses.
pub const REGIONS: [&str; 3] = ["us-west-2", "us-east-1", "eu-west-1"];
/// The providers.
pub const PROVIDERS: [&str; 2] = ["claude", "claude-eu"];

/// The region whose pools may have a second server.
pub const SIBLING_OF: &str = "eu-west-1";

/// The place of a name among others.
pub(super) fn position(names: &[&str], name: &str) -> usize {
    names
        .iter()
        .position(|known| *known == name)
        .unwrap_or(usize::MAX)
}

/// How long Envoy drains listeners that an update replaced, by default, in seconds.
pub const DRAIN_S: u32 = 600;

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
