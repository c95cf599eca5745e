//! What operators say, over HTTP: `/v1/intents` and `/v1/audit` of the status port.
//!
//! Changes are taken from this machine only.

use super::store::{Record, Store, broken_at};
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use meridian_planner::intent::{Action, Intents, Objection};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
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
    store: Arc<Store>,
}

/// What an operator wants, and where the answer goes.
pub struct Command {
    /// What is wanted.
    pub wanted: Wanted,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Record, Refusal>>,
}

/// What an operator wants.
#[derive(Debug)]
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
#[derive(Debug)]
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
    pub fn new(commands: mpsc::Sender<Command>, store: Arc<Store>) -> Self {
        Self { commands, store }
    }

    /// The store.
    pub fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store)
    }

    /// The routes.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/v1/intents", get(intents).post(create))
            .route("/v1/intents/{number}/undo", post(undo))
            .route("/v1/audit", get(audit))
            .with_state(self)
    }

    async fn done(&self, wanted: Wanted) -> Result<Record, Failure> {
        let (reply, answer) = oneshot::channel();
        let going_away = || {
            Failure::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the control plane is going away",
            )
        };
        let sent = self.commands.send(Command { wanted, reply }).await;
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

async fn create(
    State(operator): State<Operator>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
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
    let record = operator.done(Wanted::Create(new)).await?;
    Ok((StatusCode::CREATED, Json(record)).into_response())
}

async fn undo(
    State(operator): State<Operator>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(number): Path<u64>,
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
    operator.done(wanted).await.map(Json)
}

async fn intents(State(operator): State<Operator>) -> Result<Json<Intents>, Failure> {
    read(&operator, |store| store.intents()).await
}

async fn audit(
    State(operator): State<Operator>,
    Query(which): Query<Which>,
) -> Result<Json<Audit>, Failure> {
    let audit = move |store: &Store| {
        // With the record before them, to see whether they follow it.
        let begin = which.after.saturating_sub(1);
        let limit = which.limit.min(MOST_RECORDS);
        let mut records = store.audit(begin, limit + usize::from(which.after > 0))?;
        let before = (which.after > 0 && !records.is_empty()).then(|| records.remove(0));
        let broken_at = broken_at(before.as_ref(), &records);
        Ok(Audit { records, broken_at })
    };
    read(&operator, audit).await
}

/// Reads the store: the file may be slow.
async fn read<T: Send + 'static>(
    operator: &Operator,
    read: impl FnOnce(&Store) -> anyhow::Result<T> + Send + 'static,
) -> Result<Json<T>, Failure> {
    let store = Arc::clone(&operator.store);
    let read = tokio::task::spawn_blocking(move || read(&store)).await;
    let read = read.map_err(anyhow::Error::from).flatten();
    read.map(Json).map_err(|error| {
        let error = format!("the store cannot be read: {error:#}");
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, &error)
    })
}

#[cfg(test)]
mod tests;
