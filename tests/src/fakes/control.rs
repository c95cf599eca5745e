//! The control port: the handle's methods for `curl`.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, Uri};
use serde_json::Value;
use tokio::sync::Mutex;

use super::behaviour::Behaviour;
use super::data::{Data, full};
use super::server::{Handler, Payload, Port, Takeover};
use super::state::State;

const HELP: &str = "\
GET    /behaviour          what this fake does
PUT    /behaviour          replace it; fields left out take their default
PATCH  /behaviour          change the given fields, e.g. {\"fail\":{\"status\":503}}
                           fail: \"none\" | {\"status\":503} | \"reset\" | \"hang\" | {\"cut\":3} | {\"error_event\":2} | \"abort\"
GET    /requests           requests to the data port, probes left out
DELETE /requests           forget them
POST   /kill               refuse connections, end the open ones with RST
POST   /revive             listen again
POST   /release?tokens=N   let gated streams write N tokens more
";

#[derive(Clone)]
pub(super) struct Control {
    pub(super) state: Arc<State>,
    pub(super) data: Arc<Mutex<Port<Data>>>,
}

impl Handler for Control {
    async fn handle(&self, request: Request<Incoming>, _: Takeover) -> Response<Payload> {
        let (parts, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return refuse(400, &error.to_string()),
        };
        match (&parts.method, parts.uri.path()) {
            (&Method::GET, "/") => full(200, "text/plain; charset=utf-8", HELP),
            (&Method::GET, "/behaviour") => json(&self.state.behaviour()),
            (&Method::PUT, "/behaviour") => self.change(|_| serde_json::from_slice(&body)),
            (&Method::PATCH, "/behaviour") => self.change(|behaviour| patched(behaviour, &body)),
            (&Method::GET, "/requests") => json(&self.state.log().all()),
            (&Method::DELETE, "/requests") => {
                self.state.log().clear();
                json(&Value::Array(Vec::new()))
            }
            (&Method::POST, "/kill") => {
                let mut data = self.data.lock().await;
                alive(data.kill().await.map(|()| data.is_open()))
            }
            (&Method::POST, "/revive") => {
                let mut data = self.data.lock().await;
                alive(data.revive().map(|()| data.is_open()))
            }
            (&Method::POST, "/release") => match tokens(&parts.uri) {
                Some(tokens) => {
                    self.state.release(tokens);
                    json(&serde_json::json!({ "released": tokens }))
                }
                None => refuse(400, "say how many: /release?tokens=N"),
            },
            _ => refuse(404, "not here; GET / lists what is"),
        }
    }
}

impl Control {
    fn change(
        &self,
        to: impl FnOnce(&Behaviour) -> Result<Behaviour, serde_json::Error>,
    ) -> Response<Payload> {
        let mut error = None;
        self.state.change(|behaviour| match to(behaviour) {
            Ok(new) => *behaviour = new,
            Err(refused) => error = Some(refused),
        });
        match error {
            None => json(&self.state.behaviour()),
            Some(error) => refuse(400, &error.to_string()),
        }
    }
}

fn patched(behaviour: &Behaviour, patch: &Bytes) -> Result<Behaviour, serde_json::Error> {
    let patch: serde_json::Map<String, Value> = serde_json::from_slice(patch)?;
    let mut whole = serde_json::to_value(behaviour)?;
    if let Value::Object(fields) = &mut whole {
        fields.extend(patch);
    }
    serde_json::from_value(whole)
}

fn tokens(uri: &Uri) -> Option<usize> {
    let query = uri.query()?;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("tokens="))?
        .parse()
        .ok()
}

fn alive(result: anyhow::Result<bool>) -> Response<Payload> {
    match result {
        Ok(alive) => json(&serde_json::json!({ "alive": alive })),
        Err(error) => refuse(500, &format!("{error:#}")),
    }
}

fn json<T: serde::Serialize>(value: &T) -> Response<Payload> {
    match serde_json::to_string(value) {
        Ok(text) => full(200, "application/json", text + "\n"),
        Err(error) => refuse(500, &error.to_string()),
    }
}

fn refuse(status: u16, why: &str) -> Response<Payload> {
    full(
        status,
        "application/json",
        serde_json::json!({ "error": why }).to_string() + "\n",
    )
}
