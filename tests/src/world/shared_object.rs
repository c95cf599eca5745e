//! Shared objects in C that tests load into processes.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Compiles a text in C. Its source stays beside it.
///
/// # Errors
/// There is no compiler, or it refuses the text.
pub async fn compile_shared_object(text: &str, to: &Path) -> Result<()> {
    let source = to.with_extension("c");
    std::fs::write(&source, text)?;
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([to, &source])
        .stdin(Stdio::null())
        .status()
        .await
        .context("the C compiler `cc` is missing, which some scenarios need")?;
    if !status.success() {
        bail!("cc {}: {status}", source.display());
    }
    Ok(())
}

/// Compiles the library by which a process of the world in this directory reads a clock of the test's.
pub(super) async fn clock_library(dir: &Path, process: &str, text: &str) -> Result<PathBuf> {
    let library = dir.join(format!("{process}.clock.so"));
    compile_shared_object(text, &library).await?;
    Ok(library)
}
