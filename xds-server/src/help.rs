//! What helps to use the command line: completions, man pages, exit codes.

use anyhow::{Context, Result};
use clap::{Command, Subcommand};
use clap_complete::{Shell, generate};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The exit codes, at the end of `meridian --help`.
pub const EXIT_CODES: &str = "Exit codes:
  0  it is done
  1  it failed: a file cannot be used, no control plane answers, or it cannot do it now
  2  the command line is wrong; `meridian diff` and `replay`: something would change
  3  the control plane refuses it, and nothing has changed";

/// The exit code of a preview if something would change.
pub const DIFFERENT: u8 = 2;

/// The subcommands.
#[derive(Subcommand)]
pub enum Install {
    /// Prints the completions of a shell.
    #[command(after_help = "Examples:
  meridian completions bash > /etc/bash_completion.d/meridian
  meridian completions fish")]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Writes a man page for each subcommand.
    #[command(after_help = "Examples:
  meridian man /usr/local/share/man/man1
  meridian man target/man")]
    Man {
        /// The directory, which is made if it is missing.
        directory: PathBuf,
    },
}

/// Runs a subcommand.
///
/// # Errors
/// Something cannot be written.
pub fn install(install: Install, command: Command, out: &mut impl Write) -> Result<()> {
    match install {
        Install::Completions { shell } => completions(command, shell, out),
        Install::Man { directory } => man(command, &directory),
    }
}

/// Writes a shell's completions of a command.
///
/// # Errors
/// They cannot be written.
fn completions(mut command: Command, shell: Shell, out: &mut impl Write) -> Result<()> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    out.write_all(&script)?;
    Ok(())
}

/// Writes the man pages of a command and its subcommands.
///
/// # Errors
/// The directory or a page cannot be written.
fn man(command: Command, directory: &Path) -> Result<()> {
    let shown = || directory.display().to_string();
    fs::create_dir_all(directory).with_context(shown)?;
    clap_mangen::generate_to(command, directory).with_context(shown)
}

#[cfg(test)]
mod tests;
