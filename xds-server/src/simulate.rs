//! `meridian simulate`: runs the simulator, which is a binary of its own.

use anyhow::{Error, Result, bail};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The simulator's binary, in the directory of this one.
const BINARY: &str = "meridian-simulate";

/// Replaces this process by the simulator. Returns only if that fails.
///
/// # Errors
/// The simulator's binary is missing or cannot be executed.
pub fn simulate(arguments: &[OsString]) -> Result<()> {
    let binary = std::env::current_exe()?.with_file_name(BINARY);
    let error = Command::new(&binary).args(arguments).exec();
    let path = binary.display();
    if error.kind() == ErrorKind::NotFound {
        bail!("{path} does not exist; build it with `cargo build --release -p meridian-simulator`");
    }
    Err(Error::new(error).context(format!("cannot run {path}")))
}
