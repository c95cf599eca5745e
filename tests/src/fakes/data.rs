//! The data port: reads a request, records it, and does what was decided.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SERVER, SET_COOKIE,
};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};

use super::answer::{Answer, Content};
use super::bedrock;
use super::behaviour::{Behaviour, Fail, Kind, Metrics};
use super::decision::{Decision, authorize, dialect};
use super::metrics;
use super::openai::model;
use super::problem::{Dialect, Problem};
use super::recorded::Recorded;
use super::route::{Api, Route};
use super::server::{Handler, Payload, Takeover};
use super::state::{Running, State, unix_now};
use super::stream::{Break, Course, half, play};

/// Bodies up to this many bytes are read.
const BODY_LIMIT: usize = 64 << 20;
const JSON: &str = "application/json";
const FAKE_SERVER: HeaderName = HeaderName::from_static("x-fake-server");
const LOAD_FORMAT: &str = "endpoint-load-metrics-format";
const LOAD: HeaderName = HeaderName::from_static("endpoint-load-metrics");

/// What hosted APIs send about the account that pays, and about their front ends.
const ACCOUNT: [(&str, &str); 12] = [
    ("anthropic-organization-id", "org-of-ours"),
    ("anthropic-ratelimit-tokens-remaining", "9"),
    ("cf-ray", "8f2-FRA"),
    ("location", "/elsewhere"),
    ("openai-organization", "org-of-ours"),
    ("openai-processing-ms", "7"),
    ("openai-project", "proj-of-ours"),
    ("request-id", "req_1"),
    ("server", "cloudflare"),
    ("set-cookie", "__cf_bm=secret"),
    ("via", "1.1 google"),
    ("x-ratelimit-remaining-requests", "9"),
];

#[derive(Clone)]
pub(super) struct Data {
    pub(super) state: Arc<State>,
    /// The value of `x-fake-server`.
    pub(super) name: HeaderValue,
}

impl Handler for Data {
    async fn handle(&self, request: Request<Incoming>, takeover: Takeover) -> Response<Payload> {
        let (parts, body) = request.into_parts();
        let route = Route::of(&self.state.kind, &parts.method, parts.uri.path());
        let mut response = if route.is_probe() {
            self.state.probes.fetch_add(1, Ordering::SeqCst);
            self.probe(&route).await
        } else {
            match self.read(body).await {
                Some(body) => self.answer(&route, &parts, body, takeover).await,
                None => problem(&Problem::body_too_large(), dialect(&self.state.kind, None)),
            }
        };
        let headers = response.headers_mut();
        headers.insert(FAKE_SERVER, self.name.clone());
        if matches!(self.state.kind, Kind::Pool { .. }) {
            headers.insert(SERVER, HeaderValue::from_static("uvicorn"));
            headers.insert(SET_COOKIE, HeaderValue::from_static("route=a"));
        } else {
            for (name, value) in ACCOUNT {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        response
    }
}

impl Data {
    async fn probe(&self, route: &Route) -> Response<Payload> {
        let behaviour = self.state.behaviour();
        match (route, &self.state.kind) {
            (Route::Load, _) => {
                let load = behaviour.running + behaviour.waiting + self.state.running();
                full(200, JSON, format!(r#"{{"server_load":{load}}}"#))
            }
            (Route::Metrics, _) if behaviour.metrics == Metrics::Broken => full(500, JSON, ""),
            (Route::Metrics, _) if behaviour.metrics == Metrics::Silent => pending().await,
            (Route::Metrics, Kind::Pool { models }) => {
                self.state.scrapes.fetch_add(1, Ordering::SeqCst);
                let model = models.first().map(String::as_str).unwrap_or_default();
                let waiting = self.state.waiting();
                let shown = Behaviour {
                    waiting: behaviour.waiting + waiting,
                    ..behaviour
                };
                let running = self.state.running().saturating_sub(waiting);
                let page = metrics::page(model, running, &shown, &self.state.counters());
                full(200, metrics::CONTENT_TYPE, page)
            }
            _ if behaviour.hang_health => pending().await,
            _ => {
                let mut response = full(behaviour.fail_health.unwrap_or(200), JSON, "");
                response.headers_mut().remove(CONTENT_TYPE);
                response
            }
        }
    }

    /// `None` if the body is too large or its sender is gone.
    async fn read(&self, mut body: Incoming) -> Option<Bytes> {
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(piece) = frame.ok()?.into_data() {
                self.state
                    .body_bytes
                    .fetch_add(piece.len() as u64, Ordering::SeqCst);
                if whole.len() + piece.len() > BODY_LIMIT {
                    return None;
                }
                whole.extend_from_slice(&piece);
            }
        }
        Some(whole.freeze())
    }

    async fn answer(
        &self,
        route: &Route,
        parts: &Parts,
        body: Bytes,
        takeover: Takeover,
    ) -> Response<Payload> {
        let behaviour = self.state.behaviour();
        if let (Some(replay), Route::Unknown) = (&behaviour.replay, route) {
            self.record(parts, body, "replay".to_owned());
            match takeover.replay(replay.clone(), behaviour.token_ms).await {}
        }
        let Route::Inference(api) = route else {
            let response = self.list(route, parts);
            self.record(parts, body, response.status().as_str().to_owned());
            self.count(route, parts, response.status());
            return response;
        };
        let decision = Decision::on(&self.state, &behaviour, *api, parts, &body);
        let record = self.record(parts, body, decision.word());
        let response = match decision {
            Decision::Replay(replay, pause) => match takeover.replay(replay, pause).await {},
            Decision::Reset => match takeover.reset().await {},
            Decision::Hang => {
                let _running = Running::start(&self.state, record, 0);
                pending().await
            }
            Decision::Refuse(refusal) => {
                let mut response = problem(&refusal, dialect(&self.state.kind, Some(*api)));
                if let (Fail::Status(_), Some(seconds)) = (behaviour.fail, behaviour.retry_after) {
                    response
                        .headers_mut()
                        .insert(RETRY_AFTER, HeaderValue::from(seconds));
                }
                response
            }
            Decision::Answer(answer) => {
                let running = Running::start(&self.state, record, answer.prompt_tokens);
                self.perform(answer, &behaviour, *api, parts, running, takeover)
                    .await
            }
        };
        self.count(route, parts, response.status());
        response
    }

    async fn perform(
        &self,
        answer: Answer,
        behaviour: &Behaviour,
        api: Api,
        parts: &Parts,
        mut running: Running,
        takeover: Takeover,
    ) -> Response<Payload> {
        let course = Course {
            first_token: Duration::from_millis(behaviour.first_token_ms),
            token: Duration::from_millis(behaviour.token_ms),
            finish: answer.finish,
            stop: answer.stop,
        };
        let whole = match answer.content {
            Content::Events(events) => {
                let (content_type, encode): (_, fn(String) -> Bytes) = match self.state.kind {
                    Kind::Bedrock { .. } => (bedrock::CONTENT_TYPE, bedrock::frame),
                    _ => ("text/event-stream; charset=utf-8", Bytes::from),
                };
                let body = play(events, encode, course, running, takeover);
                return typed(200, content_type, body);
            }
            Content::Whole(whole) => whole,
        };
        running.take_seat().await;
        course.wait(answer.tokens).await;
        running.first_token();
        if matches!(course.stop, Some(Break::Cut(_))) {
            let length = whole.len();
            let mut response = typed(200, JSON, half(whole, running, takeover));
            response
                .headers_mut()
                .insert(CONTENT_LENGTH, HeaderValue::from(length));
            return response;
        }
        running.finish(answer.tokens, answer.finish);
        let mut response = full(200, JSON, whole);
        if let Some(load) = self.load(behaviour, api, parts) {
            response.headers_mut().insert(LOAD, load);
        }
        response
    }

    /// The list of models, and everything that is not there.
    fn list(&self, route: &Route, parts: &Parts) -> Response<Payload> {
        let dialect = dialect(&self.state.kind, None);
        if let Err(refusal) = authorize(&self.state.kind, parts) {
            return problem(&refusal, dialect);
        }
        let (models, owner) = match &self.state.kind {
            Kind::Pool { models } => (models.as_slice(), "vllm"),
            _ => (&[][..], "fake"),
        };
        match route {
            Route::Models => {
                let entries: Vec<String> = models
                    .iter()
                    .map(|id| model(id, unix_now(), owner))
                    .collect();
                full(
                    200,
                    JSON,
                    format!(r#"{{"object":"list","data":[{}]}}"#, entries.join(",")),
                )
            }
            Route::Model(id) if dialect == Dialect::OpenAi || models.contains(id) => {
                full(200, JSON, model(id, unix_now(), owner))
            }
            Route::Model(id) => problem(&Problem::unknown_model(id, models), dialect),
            Route::WrongMethod { allow } => {
                let mut response = problem(&Problem::method_not_allowed(), dialect);
                response
                    .headers_mut()
                    .insert(ALLOW, HeaderValue::from_static(allow));
                response
            }
            _ => problem(&Problem::not_found(), dialect),
        }
    }

    /// vLLM reports its load in a header when asked to, never on streams. The format is ORCA's.
    fn load(&self, behaviour: &Behaviour, api: Api, parts: &Parts) -> Option<HeaderValue> {
        if !matches!(self.state.kind, Kind::Pool { .. })
            || !matches!(api, Api::Chat | Api::Completions)
        {
            return None;
        }
        let (waiting, kv) = (f64::from(behaviour.waiting), behaviour.kv_cache_usage);
        let text = match parts.headers.get(LOAD_FORMAT)?.as_bytes() {
            b"TEXT" => format!(
                "TEXT named_metrics.num_requests_waiting={waiting:?}, named_metrics.kv_cache_usage_perc={kv:?}"
            ),
            b"JSON" => {
                format!(
                    r#"JSON {{"named_metrics": {{"num_requests_waiting": {waiting:?}, "kv_cache_usage_perc": {kv:?}}}}}"#
                )
            }
            _ => return None,
        };
        HeaderValue::from_str(&text).ok()
    }

    fn record(&self, parts: &Parts, body: Bytes, answered: String) -> u64 {
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        };
        self.state.log().push(Recorded {
            method: parts.method.to_string(),
            path: parts
                .uri
                .path_and_query()
                .map_or_else(|| parts.uri.to_string(), ToString::to_string),
            headers: parts.headers.iter().map(header).collect(),
            body,
            answered,
        })
    }

    fn count(&self, route: &Route, parts: &Parts, status: StatusCode) {
        self.state
            .counters()
            .answered(route.pattern(), parts.method.as_str(), status.as_u16());
    }
}

fn problem(problem: &Problem, dialect: Dialect) -> Response<Payload> {
    let mut response = full(problem.status, JSON, problem.render(dialect));
    if dialect == Dialect::Aws {
        let name = HeaderValue::from_static(problem.aws_name());
        response.headers_mut().insert("x-amzn-errortype", name);
    }
    response
}

/// An answer in one piece.
pub(super) fn full(status: u16, kind: &'static str, body: impl Into<Bytes>) -> Response<Payload> {
    typed(status, kind, Full::new(body.into()).boxed_unsync())
}

fn typed(status: u16, kind: &'static str, body: Payload) -> Response<Payload> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
