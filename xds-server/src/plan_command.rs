//! `meridian plan`: the plan in force, and what plans have moved.

use crate::operate::{To, ask};
use anyhow::Result;
use clap::Subcommand;
use meridian_xds_server::serve::plans::{PlanHistory, PlanReport};
use meridian_xds_server::status;
use reqwest::Method;
use std::io::Write;

/// The subcommands.
#[derive(Subcommand)]
pub enum Plan {
    /// Shows the plan in force: shares and weights with the figures behind them, pools, and the freshness of data.
    #[command(after_help = "Examples:
  meridian plan show
  meridian plan show --output json")]
    Show {
        #[command(flatten)]
        to: To,
    },
    /// Shows what plans have moved, and which signal, intent or edit moved it, the newest last.
    #[command(after_help = "Examples:
  meridian plan history
  meridian plan history --last 200 --output json")]
    History {
        /// At most so many plans. The last 1,000 that moved something are kept.
        #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        last: u16,
        #[command(flatten)]
        to: To,
    },
}

/// Runs a subcommand.
///
/// # Errors
/// No control plane answers, or it refuses.
pub async fn plan(command: Plan, out: &mut impl Write) -> Result<()> {
    match command {
        Plan::Show { to } => {
            let plan: PlanReport = ask(&to, Method::GET, "plan", None::<&()>).await?;
            to.show(&plan, || status::plan(&plan), out)
        }
        Plan::History { last, to } => {
            let path = format!("plans?limit={last}");
            let history: PlanHistory = ask(&to, Method::GET, &path, None::<&()>).await?;
            to.show(&history, || status::plan_history(&history), out)
        }
    }
}
