//! Signals to our own processes.

use anyhow::{Result, bail};

/// Sends a signal to one of our processes.
pub(super) async fn signal(process: u32, signal: &str) -> Result<()> {
    let status = tokio::process::Command::new("sh")
        .args(["-c", &format!("kill -{signal} {process}")])
        .status()
        .await?;
    if !status.success() {
        bail!("kill -{signal} {process}: {status}");
    }
    Ok(())
}
