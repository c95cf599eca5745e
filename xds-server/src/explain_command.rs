//! `meridian explain`: what a gateway would do with a request.

use crate::operate::{To, ask};
use anyhow::{Context, Result};
use clap::Args;
use meridian_policy::RegionName;
use meridian_xds_server::explain::{ExplainRequest, Explanation, text};
use reqwest::Method;
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;

/// The arguments.
#[derive(Args)]
pub struct Explain {
    /// The region whose gateway gets the request.
    #[arg(long)]
    gateway: RegionName,
    /// The model.
    #[arg(long, required_unless_present = "body")]
    model: Option<String>,
    /// The caller's country, as the fleet's edge would say it.
    #[arg(long)]
    country: Option<String>,
    /// A header, `name: value`. May be repeated.
    #[arg(long = "header", value_name = "HEADER", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The address that the gateway gets the request from. Default: one that the fleet trusts.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// The path.
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
    /// `interactive` or `batch`.
    #[arg(long)]
    tier: Option<String>,
    /// The session. Without it, and without `--body`, the explanation is of a thousand conversations.
    #[arg(long)]
    session: Option<String>,
    /// `fresh`.
    #[arg(long)]
    needs: Option<String>,
    /// The answer is streamed.
    #[arg(long)]
    stream: bool,
    /// Bytes of the body.
    #[arg(long, value_name = "BYTES")]
    body_size: Option<u64>,
    /// A file with the body, of at most 1 MiB.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "stream", "body_size"])]
    body: Option<PathBuf>,
    /// The request's `x-request-id`.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    to: To,
}

fn header(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once(':').context("write `name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Explains a request.
///
/// # Errors
/// No control plane answers, or it cannot explain the request.
pub async fn explain(explain: Explain, out: &mut impl Write) -> Result<()> {
    let to = explain.to;
    let body = explain.body.map(|file| {
        let text = std::fs::read_to_string(&file);
        text.with_context(|| format!("--body: {}", file.display()))
    });
    let request = ExplainRequest {
        gateway: explain.gateway,
        model: explain.model,
        country: explain.country,
        headers: explain.headers,
        from: explain.from,
        method: "POST".to_owned(),
        path: explain.path,
        tier: explain.tier,
        session: explain.session,
        needs: explain.needs,
        stream: explain.stream,
        body_size: explain.body_size,
        body: body.transpose()?,
        request_id: explain.id,
    };
    let explanation: Explanation = ask(&to, Method::POST, "explain", Some(&request)).await?;
    to.show(&explanation, || text(&explanation), out)
}
