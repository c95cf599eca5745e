//! `meridian explain`: what a gateway would do with a request, or what gateways did with some.

use crate::endpoint::NotDone;
use crate::operate::{To, ask};
use anyhow::{Context, Result, bail};
use clap::Args;
use meridian_policy::RegionName;
use meridian_xds_server::decisions::{self, Decisions, Outcome, Wanted};
use meridian_xds_server::explain::{ExplainRequest, Explanation, text};
use reqwest::Method;
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;

/// The arguments.
#[derive(Args)]
pub struct Explain {
    /// The region whose gateway gets the request.
    #[arg(long, required_unless_present_any = LATELY)]
    gateway: Option<RegionName>,
    /// The model.
    #[arg(long, required_unless_present_any = ["body", "last_requests", "request_id"])]
    model: Option<String>,
    #[command(flatten)]
    lately: Lately,
    #[command(flatten)]
    request: Request,
    #[command(flatten)]
    to: To,
}

/// The arguments about requests that have been.
const LATELY: [&str; 2] = ["last_requests", "request_id"];

/// What gateways have reported lately.
#[derive(Args)]
struct Lately {
    /// In place of a request that nobody has sent: the last requests that gateways have reported, so many of them. `--gateway` and
    /// `--model` pick some.
    #[arg(long, value_name = "NUMBER", conflicts_with = "Request")]
    last_requests: Option<usize>,
    /// Those of callers of this zone.
    #[arg(long, requires = "last_requests")]
    zone: Option<String>,
    /// Those for which this region or fallback was asked.
    #[arg(long, requires = "last_requests")]
    region: Option<String>,
    /// Those on this lane.
    #[arg(long, requires = "last_requests")]
    lane: Option<String>,
    /// Those with this outcome: `answered`, `refused`, `failed`, `broken` or `left`.
    #[arg(long, requires = "last_requests")]
    outcome: Option<Outcome>,
    /// The request with this `x-request-id`, if its gateway has reported it.
    #[arg(long, value_name = "ID", conflicts_with_all = ["last_requests", "gateway", "model", "Request"])]
    request_id: Option<String>,
}

/// A request that nobody has sent.
#[derive(Args)]
struct Request {
    /// The caller's country, as the fleet's edge would say it.
    #[arg(long)]
    country: Option<String>,
    /// A header, `name: value`. May be repeated.
    #[arg(long = "header", value_name = "HEADER", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The address that the gateway gets the request from. Default: one that the fleet trusts.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
    /// The path. Default: that of chats.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
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
    let Explain {
        gateway,
        model,
        lately,
        request,
        to,
    } = explain;
    if let Some(id) = &lately.request_id {
        return one(id, &to, out).await;
    }
    let gateway = match (lately.last_requests, gateway) {
        (None, Some(gateway)) => gateway,
        (_, gateway) => return last(lately, gateway, model, &to, out).await,
    };
    let body = request.body.map(|file| {
        let text = std::fs::read_to_string(&file);
        text.with_context(|| format!("--body: {}", file.display()))
    });
    let request = ExplainRequest {
        gateway,
        model,
        country: request.country,
        headers: request.headers,
        from: request.from,
        method: "POST".to_owned(),
        path: request
            .path
            .unwrap_or_else(|| "/v1/chat/completions".to_owned()),
        tier: request.tier,
        session: request.session,
        needs: request.needs,
        stream: request.stream,
        body_size: request.body_size,
        body: body.transpose()?,
        request_id: request.id,
    };
    let explanation: Explanation = ask(&to, Method::POST, "explain", Some(&request)).await?;
    to.show(&explanation, || text(&explanation), out)
}

/// The last requests that gateways have reported.
async fn last(
    lately: Lately,
    gateway: Option<RegionName>,
    model: Option<String>,
    to: &To,
    out: &mut impl Write,
) -> Result<()> {
    let wanted = Wanted {
        last: lately.last_requests.unwrap_or(Wanted::USUAL),
        gateway: gateway.map(|gateway| gateway.to_string()),
        model,
        zone: lately.zone,
        region: lately.region,
        lane: lately.lane,
        outcome: lately.outcome,
        ..Wanted::default()
    };
    let found: Decisions = reported(&wanted, to).await?;
    to.show(&found, || decisions::table(&found.decisions), out)
}

/// One request that a gateway has reported.
async fn one(id: &str, to: &To, out: &mut impl Write) -> Result<()> {
    let wanted = Wanted {
        last: 1,
        request_id: Some(id.to_owned()),
        ..Wanted::default()
    };
    let found = reported(&wanted, to).await?;
    let Some(record) = found.decisions.first() else {
        bail!(NotDone(format!(
            "no gateway has reported a request `{id}` within the last 15 minutes; of requests that went well they report a few"
        )));
    };
    to.show(record, || decisions::text(record), out)
}

async fn reported(wanted: &Wanted, to: &To) -> Result<Decisions> {
    let query = serde_urlencoded::to_string(wanted)?;
    ask(to, Method::GET, &format!("decisions?{query}"), None::<&()>).await
}
