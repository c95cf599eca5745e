//! Libraries that are preloaded into processes.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Compiles the library of a process of the world in this directory.
pub(super) async fn compile(dir: &Path, process: &str, text: &str) -> Result<PathBuf> {
    let library = dir.join(format!("{process}.clock.so"));
    let source = dir.join(format!("{process}.clock.c"));
    std::fs::write(&source, text)?;
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .stdin(Stdio::null())
        .status()
        .await
        .context("the C compiler `cc` is missing, which scenarios need that set clocks")?;
    if !status.success() {
        bail!("cc {}: {status}", source.display());
    }
    Ok(library)
}
