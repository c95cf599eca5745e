//! What operators say, over HTTP: `/v1/intents` and `/v1/audit` of the status port.
//!
//! Changes are taken from this machine only.

use super::store::{Record, Store, broken_at};
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use meridian_planner::intent::{Action, Intents, Objection};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Longest time of an intent: a drain that lasts longer is an edit of the fleet file.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longest text of a person, in bytes.
const LONGEST_TEXT: usize = 1000;
/// Most records in an answer.
const MOST_RECORDS: usize = 1000;

/// Passes what operators say to the controller's task.
#[derive(Clone)]
pub struct Operator {
    commands: mpsc::Sender<Command>,
    store: Store,
}

/// What an operator wants, and where the answer goes.
pub struct Command {
    /// What is wanted.
    pub wanted: Wanted,
    /// The caller's key for it: with replicas, a request with the key of an earlier one gets the answer of that one.
    pub key: Option<String>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Record, Refusal>>,
}

/// What an operator wants.
#[derive(Debug, Serialize, Deserialize)]
pub enum Wanted {
    /// A new intent.
    Create(NewIntent),
    /// An intent ends.
    Undo {
        /// Its number.
        number: u64,
        /// Who wants it.
        by: String,
        /// From where.
        from: String,
        /// Why.
        why: String,
    },
}

/// An intent that an operator wants.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewIntent {
    /// What is wanted.
    pub action: Action,
    /// Who wants it.
    pub by: String,
    /// From where.
    pub from: String,
    /// Why.
    pub why: String,
    /// How long, in milliseconds.
    pub lasts_ms: u64,
    /// In spite of objections that allow it.
    pub force: bool,
}

/// Why something is not done. Nothing has changed.
#[derive(Debug)]
pub enum Refusal {
    /// Something speaks against it.
    Objections(Vec<Objection>),
    /// There is no such intent.
    NoSuchIntent(u64),
    /// The store cannot be written.
    Store(String),
    /// The replica that leads has refused it, with this status.
    Leader(u16, Refused),
    /// The store went away meanwhile: it may have been done.
    Unknown(String),
}

impl Refusal {
    /// Whether it is one whatever the store does.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Store(_) | Self::Unknown(_))
    }

    /// A replica of another version has passed on what this one does not know.
    pub fn unreadable(error: &serde_json::Error) -> Self {
        let error = format!("the replica that leads is of another version: {error}");
        let refused = Refused {
            errors: vec![error],
            may_be_forced: false,
        };
        Self::Leader(StatusCode::NOT_IMPLEMENTED.as_u16(), refused)
    }

    /// For the replica that was asked.
    pub fn into_json(self) -> serde_json::Value {
        let Failure(status, refused) = self.into();
        serde_json::json!([status.as_u16(), refused])
    }

    /// From the replica that leads.
    pub fn of_leader(json: serde_json::Value) -> Self {
        match serde_json::from_value(json) {
            Ok((status, refused)) => Self::Leader(status, refused),
            Err(error) => Self::Unknown(format!("the leader's answer cannot be read: {error}")),
        }
    }
}

/// A request for an intent, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntentRequest {
    /// What is wanted.
    pub action: Action,
    /// Who wants it.
    pub by: String,
    /// Why.
    pub why: String,
    /// How long it lasts, e.g. `1h`. At most 30 days.
    #[serde(rename = "for", default = "an_hour", with = "humantime_serde")]
    pub lasts: Duration,
    /// It is accepted although a zone would be without a region, or the others without room. The record says so.
    #[serde(default)]
    pub force: bool,
}

fn an_hour() -> Duration {
    Duration::from_secs(3600)
}

/// A request to undo an intent, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoRequest {
    /// Who wants it.
    pub by: String,
    /// Why.
    pub why: String,
}

/// Records of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// The records, the oldest first.
    pub records: Vec<Record>,
    /// The first of them that was changed after it was written, or follows one that is missing.
    #[serde(default)]
    pub broken_at: Option<u64>,
}

/// Which records are wanted.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Those after this number.
    #[serde(default)]
    after: u64,
    /// At most so many.
    #[serde(default = "most_records")]
    limit: usize,
}

fn most_records() -> usize {
    MOST_RECORDS
}

/// An answer other than what was wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// Why, a line each.
    pub errors: Vec<String>,
    /// `force` would change it.
    #[serde(default)]
    pub may_be_forced: bool,
}

/// The answer to what is not done.
pub(super) struct Failure(StatusCode, Refused);

impl Operator {
    /// Passes commands to the controller's task, and reads the store.
    pub fn new(commands: mpsc::Sender<Command>, store: Store) -> Self {
        Self { commands, store }
    }

    /// The store.
    pub fn store(&self) -> Store {
        self.store.clone()
    }

    /// The routes.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/v1/intents", get(intents).post(create))
            .route("/v1/intents/{number}/undo", post(undo))
            .route("/v1/audit", get(audit))
            .with_state(self)
    }

    async fn done(&self, wanted: Wanted, key: Option<String>) -> Result<Record, Failure> {
        let (reply, answer) = oneshot::channel();
        let going_away = || {
            Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the control plane is going away",
            )
        };
        let sent = self.commands.send(Command { wanted, key, reply }).await;
        sent.map_err(|_| going_away())?;
        let answer = answer.await.map_err(|_| going_away())?;
        Ok(answer?)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Objections(objections) => {
                let may_be_forced = objections.iter().all(Objection::may_be_forced);
                let status = if may_be_forced {
                    StatusCode::CONFLICT
                } else {
                    StatusCode::UNPROCESSABLE_ENTITY
                };
                let refused = Refused {
                    errors: objections.iter().map(Objection::to_string).collect(),
                    may_be_forced,
                };
                Self(status, refused)
            }
            Refusal::NoSuchIntent(number) => Self::new(
                StatusCode::NOT_FOUND,
                &format!("there is no intent {number}; `meridian intents` lists those in force"),
            ),
            Refusal::Store(error) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!("the store cannot be written, nothing has changed: {error}"),
            ),
            Refusal::Leader(status, refused) => {
                let status = StatusCode::from_u16(status);
                Self(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), refused)
            }
            Refusal::Unknown(error) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                &format!(
                    "it is not known whether it was done, `meridian audit` says it later: {error}"
                ),
            ),
        }
    }
}

impl Failure {
    pub(super) fn new(status: StatusCode, error: &str) -> Self {
        let refused = Refused {
            errors: vec![error.to_owned()],
            may_be_forced: false,
        };
        Self(status, refused)
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), &rejection.body_text())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

/// Changes are taken from this machine only.
fn local(from: SocketAddr) -> Result<String, Failure> {
    let ip = from.ip().to_canonical();
    if ip.is_loopback() {
        return Ok(ip.to_string());
    }
    let error = format!(
        "{ip} is another machine; what operators say is taken from the control plane's own"
    );
    Err(Failure::new(StatusCode::FORBIDDEN, &error))
}

fn text<'t>(field: &str, text: &'t str) -> Result<&'t str, Failure> {
    let text = text.trim();
    if text.is_empty() || text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
        let error = format!("{field}: write 1 to {LONGEST_TEXT} bytes of text, on one line");
        return Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, &error));
    }
    Ok(text)
}

/// The header by which a caller names a request, so that it may repeat it.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The caller's name of a request.
fn key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let is_plain = |key: &&str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=64).contains(&key.len()) && key.bytes().all(plain)
    };
    match key.to_str().ok().filter(is_plain) {
        Some(key) => Ok(Some(key.to_owned())),
        None => {
            let error = format!("{IDEMPOTENCY_KEY}: write 1 to 64 of a-z, A-Z, 0-9, `-` and `_`");
            Err(Failure::new(StatusCode::BAD_REQUEST, &error))
        }
    }
}

async fn create(
    State(operator): State<Operator>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    request: Result<Json<IntentRequest>, JsonRejection>,
) -> Result<Response, Failure> {
    let from = local(from)?;
    let Json(request) = request?;
    if request.lasts.is_zero() || request.lasts > LONGEST {
        let error = "for: write a time from 1s to 30days";
        return Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, error));
    }
    let new = NewIntent {
        by: text("by", &request.by)?.to_owned(),
        why: text("why", &request.why)?.to_owned(),
        action: request.action,
        from,
        lasts_ms: u64::try_from(request.lasts.as_millis()).unwrap_or(u64::MAX),
        force: request.force,
    };
    let record = operator.done(Wanted::Create(new), key(&headers)?).await?;
    Ok((StatusCode::CREATED, Json(record)).into_response())
}

async fn undo(
    State(operator): State<Operator>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(number): Path<u64>,
    headers: HeaderMap,
    request: Result<Json<UndoRequest>, JsonRejection>,
) -> Result<Json<Record>, Failure> {
    let from = local(from)?;
    let Json(request) = request?;
    let wanted = Wanted::Undo {
        number,
        by: text("by", &request.by)?.to_owned(),
        why: text("why", &request.why)?.to_owned(),
        from,
    };
    operator.done(wanted, key(&headers)?).await.map(Json)
}

async fn intents(State(operator): State<Operator>) -> Result<Json<Intents>, Failure> {
    let read = operator.store.intents().await;
    read.map(Json).map_err(unreadable)
}

async fn audit(
    State(operator): State<Operator>,
    Query(which): Query<Which>,
) -> Result<Json<Audit>, Failure> {
    // With the record before them, to see whether they follow it.
    let begin = which.after.saturating_sub(1);
    let limit = which.limit.min(MOST_RECORDS) + usize::from(which.after > 0);
    let mut records = operator
        .store
        .audit(begin, limit)
        .await
        .map_err(unreadable)?;
    let before = (which.after > 0 && !records.is_empty()).then(|| records.remove(0));
    let broken_at = broken_at(before.as_ref(), &records);
    Ok(Json(Audit { records, broken_at }))
}

fn unreadable(error: anyhow::Error) -> Failure {
    let error = format!("the store cannot be read: {error:#}");
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, &error)
}

#[cfg(test)]
mod tests;
