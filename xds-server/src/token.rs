//! `meridian token`: tokens for the admin API.

use anyhow::{Result, anyhow, bail};
use clap::{Subcommand, ValueEnum};
use meridian_xds_server::serve::operator::Role;
use meridian_xds_server::serve::operator::list::is_name;
use meridian_xds_server::serve::operator::token::new_token;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The subcommands.
#[derive(Subcommand)]
pub enum Token {
    /// Makes a token, and prints it once, with its line for the file `control_plane.api.operators`. The file has its hash alone.
    #[command(after_help = "Examples:
  meridian token new --name ci --role operate --for 90d
  meridian token new --name dashboard --role read")]
    New {
        /// The name of who has it, for the record.
        #[arg(long, value_parser = name)]
        name: String,
        /// What it may do.
        #[arg(long, value_enum)]
        role: RoleName,
        /// How long it counts, e.g. `90d`. Default: until its line is taken from the file.
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
        lasts: Option<Duration>,
    },
}

/// A role, as an argument.
#[derive(Clone, Copy, ValueEnum)]
pub enum RoleName {
    /// It may read.
    Read,
    /// It may read and change.
    Operate,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Read => Self::Read,
            RoleName::Operate => Self::Operate,
        }
    }
}

fn name(text: &str) -> Result<String> {
    if !is_name(text) {
        bail!("use letters, digits and ._-@, at most 100 characters");
    }
    Ok(text.to_owned())
}

/// Runs a subcommand.
///
/// # Errors
/// There are no random numbers, or the time is too far away.
pub fn token(command: Token, out: &mut impl Write) -> Result<()> {
    let Token::New { name, role, lasts } = command;
    let expires = lasts.map(after).transpose()?;
    let (token, entry) = new_token(name, role.into(), expires)
        .map_err(|_| anyhow!("the system has no random numbers"))?;
    writeln!(out, "{token}")?;
    writeln!(out)?;
    writeln!(
        out,
        "It is shown only now. Its line for the file `control_plane.api.operators`, below `operators:`"
    )?;
    writeln!(out, "  - {}", serde_json::to_string(&entry)?)?;
    Ok(())
}

/// So long from now, in whole seconds.
fn after(lasts: Duration) -> Result<SystemTime> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let expires = since.as_secs().checked_add(lasts.as_secs());
    // The year 9999 is the last one that a date has.
    let expires = expires.filter(|seconds| *seconds < 253_402_300_800);
    let expires = expires.ok_or_else(|| anyhow!("--for: this is too long"))?;
    Ok(UNIX_EPOCH + Duration::from_secs(expires))
}
