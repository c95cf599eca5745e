//! What operators say to a running control plane: `drain`, `undrain`, `override`, `freeze`, `undo`, `intents` and `audit`.

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand, ValueEnum};
use meridian_planner::intent::{Action, Intents};
use meridian_policy::{ModelName, RegionName, ZoneName};
use meridian_xds_server::clock::steady_clock;
use meridian_xds_server::serve::operator::{Audit, IntentRequest, Refused, UndoRequest};
use meridian_xds_server::serve::report::Report;
use meridian_xds_server::serve::store::Record;
use meridian_xds_server::status;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// The subcommands.
#[derive(Subcommand)]
pub enum Operate {
    /// Callers leave a region in steps, as others have room; no overflow goes there.
    #[command(after_help = "Examples:
  meridian drain us-west-2 --for 2h --why 'new drivers'
  meridian drain eu-west-1 --model llama-3.1-70b --hard --why 'new weights'")]
    Drain {
        /// The region.
        region: RegionName,
        /// Its pool of this model alone.
        #[arg(long)]
        model: Option<ModelName>,
        /// Once nobody is left it counts as down: no failover goes there either. Otherwise it stays in failover chains.
        #[arg(long)]
        hard: bool,
        #[command(flatten)]
        new: New,
    },
    /// Ends the drain of a region, or of a pool. Callers come back in steps.
    #[command(after_help = "Examples:
  meridian undrain us-west-2 --why 'drivers are in'
  meridian undrain eu-west-1 --model llama-3.1-70b --why 'weights are in'")]
    Undrain {
        /// The region.
        region: RegionName,
        /// The model, if its pool alone is drained.
        #[arg(long)]
        model: Option<ModelName>,
        #[command(flatten)]
        change: Change,
    },
    /// Sets what a gateway's first region keeps of a zone's requests for a model, and where the others go, whatever is measured.
    #[command(after_help = "Examples:
  meridian override --gateway us-west-2 --zone global --model llama-3.1-70b --home-share 70 --overflow us-east-1=1 --why 'a test'
  meridian override --gateway eu-west-1 --zone eea --model llama-3.1-70b --home-share 100 --for 10m --why 'measuring'")]
    Override {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        new: New,
    },
    /// No plan moves a request. Pools that are down are still left.
    #[command(after_help = "Examples:
  meridian freeze --for 30m --why 'an incident: nothing else may change'
  meridian freeze --until 2026-12-01T06:00:00Z --why 'a load test'")]
    Freeze {
        #[command(flatten)]
        new: New,
    },
    /// Ends an intent, by its number in `meridian intents`.
    #[command(after_help = "Examples:
  meridian undo 3 --why 'the test is over'
  meridian undo 3 --why 'the test is over' --output json")]
    Undo {
        /// The number.
        number: u64,
        #[command(flatten)]
        change: Change,
    },
    /// Lists the drains, overrides and freezes in force.
    #[command(after_help = "Examples:
  meridian intents
  meridian intents --output json")]
    Intents {
        #[command(flatten)]
        to: To,
    },
    /// Shows who has said what, and when it ended: the whole record, which is checked.
    #[command(after_help = "Examples:
  meridian audit
  meridian audit --after 120 --output json")]
    Audit {
        /// Records after this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
        #[command(flatten)]
        to: To,
    },
}

/// A placement that an operator sets.
#[derive(Args)]
pub struct Place {
    /// The gateway, by its region.
    #[arg(long)]
    gateway: RegionName,
    /// The zone of the callers.
    #[arg(long)]
    zone: ZoneName,
    /// The model.
    #[arg(long)]
    model: ModelName,
    /// Percent of the requests that the first region keeps.
    #[arg(long)]
    home_share: u8,
    /// A region that takes some of the others, and its weight: `us-east-1=3`. May be repeated.
    #[arg(long, value_name = "REGION=WEIGHT", value_parser = weight)]
    overflow: Vec<(RegionName, u32)>,
}

impl From<Place> for Action {
    fn from(place: Place) -> Self {
        Self::Override {
            gateway: place.gateway,
            zone: place.zone,
            model: place.model,
            home_share: place.home_share,
            overflow: place.overflow.into_iter().collect(),
        }
    }
}

/// What all new intents have.
#[derive(Args)]
pub struct New {
    #[command(flatten)]
    time: Time,
    #[command(flatten)]
    change: Change,
}

/// What all changes have.
#[derive(Args)]
pub struct Change {
    #[command(flatten)]
    person: Person,
    #[command(flatten)]
    to: To,
}

/// How long an intent lasts.
#[derive(Args)]
pub struct Time {
    /// How long it lasts, e.g. `90m`. At most 30 days. Default: `1h`.
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, conflicts_with = "until")]
    lasts: Option<Duration>,
    /// When it ends, e.g. `2026-12-01T06:00:00Z`.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339_weak)]
    until: Option<SystemTime>,
    /// Do it even if a zone would be without a region, or the others without room. The record says so.
    #[arg(long)]
    force: bool,
}

/// Who says it, and why.
#[derive(Args)]
pub struct Person {
    /// Why, for the record.
    #[arg(long)]
    why: String,
    /// Who says it, for the record.
    #[arg(long, env = "USER")]
    by: String,
}

/// Where the control plane is, and how its answer is shown.
#[derive(Args)]
pub struct To {
    /// The control plane's `control_plane.status`.
    #[arg(long, default_value = "127.0.0.1:18001")]
    address: SocketAddr,
    /// How the answer is shown.
    #[arg(long, value_enum, default_value_t = Shown::Table)]
    output: Shown,
}

/// How an answer is shown.
#[derive(Clone, Copy, ValueEnum)]
pub enum Shown {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Something that the control plane refuses: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotDone(String);

fn weight(text: &str) -> Result<(RegionName, u32)> {
    let (region, weight) = text.split_once('=').context("write REGION=WEIGHT")?;
    Ok((region.parse()?, weight.parse()?))
}

impl Time {
    fn lasts(&self) -> Result<Duration> {
        match (self.lasts, self.until) {
            (Some(lasts), _) => Ok(lasts),
            (None, Some(until)) => until
                .duration_since(SystemTime::now())
                .map_err(|_| anyhow!("--until: this time is over")),
            (None, None) => Ok(Duration::from_secs(3600)),
        }
    }
}

/// Runs a subcommand.
///
/// # Errors
/// No control plane answers, or it refuses ([`NotDone`]).
pub async fn operate(command: Operate, out: &mut impl Write) -> Result<()> {
    match command {
        Operate::Drain {
            region,
            model,
            hard,
            new,
        } => {
            let action = Action::Drain {
                region,
                model,
                hard,
            };
            create(action, new, out).await
        }
        Operate::Override { place, new } => create(place.into(), new, out).await,
        Operate::Freeze { new } => create(Action::Freeze, new, out).await,
        Operate::Undrain {
            region,
            model,
            change,
        } => {
            let action = Action::Drain {
                region,
                model,
                hard: false,
            };
            undrain(&action, change, out).await
        }
        Operate::Undo { number, change } => undo(number, change, out).await,
        Operate::Intents { to } => {
            let intents: Intents = ask(&to, Method::GET, "intents", None::<&()>).await?;
            to.show(&intents, || status::intents(&intents, steady_clock()), out)
        }
        Operate::Audit { after, to } => audit(after, &to, out).await,
    }
}

async fn create(action: Action, new: New, out: &mut impl Write) -> Result<()> {
    let New {
        time,
        change: Change { person, to },
    } = new;
    let request = IntentRequest {
        action,
        by: person.by,
        why: person.why,
        lasts: time.lasts()?,
        force: time.force,
    };
    let record: Record = ask(&to, Method::POST, "intents", Some(&request)).await?;
    to.show(&record, || status::record(&record), out)
}

/// Undoes the drain of the same place.
async fn undrain(action: &Action, change: Change, out: &mut impl Write) -> Result<()> {
    let intents: Intents = ask(&change.to, Method::GET, "intents", None::<&()>).await?;
    let mut drains = intents.active(steady_clock());
    let drain = drains.find(|(_, intent)| intent.action.replaces(action));
    let Some((number, _)) = drain else {
        bail!(NotDone(format!(
            "there is no `{action}` in force; `meridian intents` lists what is"
        )));
    };
    undo(number, change, out).await
}

async fn undo(number: u64, change: Change, out: &mut impl Write) -> Result<()> {
    let Change { person, to } = change;
    let request = UndoRequest {
        by: person.by,
        why: person.why,
    };
    let path = format!("intents/{number}/undo");
    let record: Record = ask(&to, Method::POST, &path, Some(&request)).await?;
    to.show(&record, || status::record(&record), out)
}

/// All records, page by page.
async fn audit(after: u64, to: &To, out: &mut impl Write) -> Result<()> {
    let mut all = Audit::default();
    let mut last = after;
    loop {
        let path = format!("audit?after={last}");
        let mut page: Audit = ask(to, Method::GET, &path, None::<&()>).await?;
        let Some(record) = page.records.last() else {
            break;
        };
        last = record.number;
        all.broken_at = all.broken_at.or(page.broken_at);
        all.records.append(&mut page.records);
    }
    to.show(
        &all,
        || all.records.iter().map(status::record).collect(),
        out,
    )?;
    match all.broken_at {
        Some(number) => bail!(
            "record {number} is not as it was written, or one before it is missing: somebody has changed the store"
        ),
        None => Ok(()),
    }
}

/// The answer of the control plane's API.
///
/// # Errors
/// No control plane answers, or it refuses ([`NotDone`]).
pub async fn ask<A: DeserializeOwned>(
    to: &To,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<A> {
    let mut request = to.request(method, &format!("v1/{path}"))?;
    if let Some(body) = body {
        request = request.json(body);
    }
    let (address, answer) = (to.address, to.send(request).await?);
    let status = answer.status();
    if status.is_success() {
        return to.read(answer).await;
    }
    let refused: Option<Refused> = answer.json().await.ok();
    let refused = refused.with_context(|| format!("{address} answers {status}"))?;
    let mut text = refused.errors.join("\n");
    if refused.may_be_forced {
        text += "\n--force does it all the same, and the record says so";
    }
    match status {
        StatusCode::SERVICE_UNAVAILABLE => bail!(text),
        _ => bail!(NotDone(text)),
    }
}

/// The longest time for an answer. With replicas, longer than it takes until another one leads.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client for a control plane.
fn client() -> Result<Client> {
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().timeout(TIMEOUT);
    Ok(client.build()?)
}

impl To {
    /// What `meridian status` shows.
    ///
    /// # Errors
    /// No control plane answers.
    pub async fn report(&self) -> Result<Report> {
        let answer = self.send(self.request(Method::GET, "status")?).await?;
        self.read(answer.error_for_status()?).await
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder> {
        Ok(client()?.request(method, format!("http://{}/{path}", self.address)))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let address = self.address;
        request.send().await.with_context(|| {
            format!(
                "no control plane answers at {address}; --address is its `control_plane.status`"
            )
        })
    }

    async fn read<A: DeserializeOwned>(&self, answer: Response) -> Result<A> {
        let address = self.address;
        let error = || format!("{address} does not answer as a control plane of this version");
        answer.json().await.with_context(error)
    }

    /// Shows a value as JSON, or as text.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn show(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
        out: &mut impl Write,
    ) -> Result<()> {
        self.output.write(value, text, out)
    }
}

impl Shown {
    /// Shows a value as JSON, or as text.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
        out: &mut impl Write,
    ) -> Result<()> {
        match self {
            Shown::Json => writeln!(out, "{}", serde_json::to_string_pretty(value)?)?,
            Shown::Table => out.write_all(text().as_bytes())?,
        }
        Ok(())
    }
}
