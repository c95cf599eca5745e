//! Commands that say what would happen: to a request, by an edit, to requests that were recorded.

use crate::diff_command::{Diff, diff};
use crate::explain_command::{Explain, explain};
use crate::replay_command::{Replay, replay};
use anyhow::Result;
use clap::Subcommand;
use std::io::Write;
use std::process::ExitCode;

/// The subcommands.
#[derive(Subcommand)]
pub enum Preview {
    /// Shows what an edit of the fleet file would change: exit code 0 nothing, 2 something.
    #[command(after_help = "Examples:
  meridian diff fleet.new.yaml
  meridian diff fleet.new.yaml --against fleet.yaml --output json")]
    Diff(Box<Diff>),
    /// Explains what a gateway would do with a request, and why: the gateway's own code decides by the policy that it has.
    #[command(after_help = "Examples:
  meridian explain --gateway us-west-2 --country DE --model llama-3.1-70b
  meridian explain --gateway us-west-2 --header 'cf-ipcountry: US' --from 203.0.113.9 --model llama-3.1-70b --session s1 --output json
  meridian explain --last-requests 20 --outcome refused
  meridian explain --request-id 7c1d0b5e-5f0a-4c1e-9b0e-3a6f1f0e2d11")]
    Explain(Box<Explain>),
    /// Shows which recorded requests would have gone elsewhere under another fleet file: exit code 0 none, 2 some.
    #[command(after_help = "Examples:
  meridian replay --against fleet.new.yaml /var/log/meridian/access.log
  meridian replay --against fleet.new.yaml access.log --output json")]
    Replay(Replay),
}

/// Runs a subcommand, and returns its exit code.
///
/// # Errors
/// A file is wrong, or no control plane answers.
pub async fn preview(command: Preview, out: &mut impl Write) -> Result<ExitCode> {
    match command {
        Preview::Diff(command) => diff(*command, out).await,
        Preview::Explain(command) => {
            explain(*command, out).await?;
            Ok(ExitCode::SUCCESS)
        }
        Preview::Replay(command) => replay(&command, out),
    }
}
