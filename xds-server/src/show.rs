//! Commands that show a running control plane: `status`, `top` and `plan`.

use crate::endpoint::Endpoint;
use crate::operate::To;
use crate::plan_command::{Plan, plan};
use crate::top::top;
use anyhow::Result;
use clap::Subcommand;
use meridian_xds_server::status;
use std::io::Write;

/// The subcommands.
#[derive(Subcommand)]
pub enum Show {
    /// Shows the state of a running control plane.
    #[command(after_help = "Examples:
  meridian status
  meridian status --address https://meridian.example.com:18002 --token-file token --output json")]
    Status {
        #[command(flatten)]
        to: To,
    },
    /// Shows pools, shares, alarms and intents, live.
    #[command(after_help = "Examples:
  meridian top
  meridian top --address https://meridian.example.com:18002 --token-file token")]
    Top {
        #[command(flatten)]
        endpoint: Endpoint,
    },
    /// Shows the plan in force, and what plans have moved.
    #[command(subcommand)]
    Plan(Plan),
}

/// Runs a subcommand. `end` completes when a live view is to end.
///
/// # Errors
/// No control plane answers, or it refuses.
pub async fn show(
    command: Show,
    end: impl Future<Output = ()>,
    out: &mut impl Write,
) -> Result<()> {
    match command {
        Show::Status { to } => {
            let report = to.report().await?;
            to.show(&report, || status::text(&report), out)
        }
        Show::Top { endpoint } => top(endpoint, end).await,
        Show::Plan(command) => plan(command, out).await,
    }
}
