//! The state file of versions before 0.3: the plan alone, as JSON, in the place of the directory.

use crate::serve::saved_state::SavedState;
use anyhow::{Context, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Reads a state file and moves it away, so that its name can be the directory's: `plan.json` to `plan.json.before`. `None` if there is no
/// file of that name, or it cannot be used.
pub(super) fn move_away(path: &Path) -> Result<Option<SavedState>> {
    if !path.is_file() {
        return Ok(None);
    }
    let context = || format!("--state {}", path.display());
    let bytes = std::fs::read(path).with_context(context)?;
    let mut before = OsString::from(path);
    before.push(".before");
    let before = PathBuf::from(before);
    std::fs::rename(path, &before).with_context(context)?;
    tracing::info!(file = %path.display(), moved_to = %before.display(), "the state file of an earlier version is taken over");
    Ok(SavedState::read(&bytes, &before))
}
