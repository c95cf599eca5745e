//! Random requests.

use crate::world::{Ask, MODEL, REGIONS, World};
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};

/// An address that no edge of the fleet has.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 9, 9, 9));

/// A request, as it is explained and as it is sent.
#[derive(Clone, Debug)]
pub struct Request {
    gateway: &'static str,
    path: &'static str,
    headers: Vec<(String, String)>,
    stranger: bool,
    body: Value,
}

impl Request {
    /// Any request, most of them such as a gateway serves.
    pub fn random(random: &mut impl RngExt) -> Self {
        let mut headers = Vec::new();
        let mut add = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
        let gateway = pick(random, &REGIONS);
        // Most callers are where they belong.
        let country = match random.random_range(0..10) {
            0..7 if gateway == "eu-west-1" => Some(pick(random, &["DE", "FR", "US"])),
            0..7 => Some(pick(random, &["US", "JP", "CA"])),
            7 => Some(pick(random, &["DE", "FR"])),
            8 => Some(pick(random, &["XX", "Germany", "de"])),
            _ => None,
        };
        if let Some(country) = country {
            add("cf-ipcountry", country);
        }
        if random.random_bool(0.1) {
            add(
                "x-tenant-zone",
                pick(random, &["eea", "global", "mars", "eea, global"]),
            );
        }
        if random.random_bool(0.3) {
            let tier = pick(
                random,
                &["batch", "batch", "batch", "batch", "interactive", "later"],
            );
            add("x-meridian-tier", tier);
        }
        if random.random_bool(0.2) {
            add(
                "x-meridian-needs",
                pick(
                    random,
                    &["fresh", "fresh", "fresh", "fresh", "fresh", "gold"],
                ),
            );
        }
        if random.random_bool(0.5) {
            let session = random.random_range(0..1000);
            add("x-meridian-session", &format!("session {session}"));
        }
        let model = pick(
            random,
            &[
                MODEL, MODEL, MODEL, MODEL, MODEL, MODEL, MODEL, MODEL, MODEL, MODEL, "gpt-9",
            ],
        );
        let content = format!("conversation {}", random.random_range(0..1000));
        let stream = random.random_bool(0.3);
        let (path, body) = body(random, model, &content, stream);
        Self {
            gateway,
            path,
            headers,
            stranger: random.random_bool(0.05),
            body,
        }
    }

    /// As the control plane gets it.
    pub fn to_explain(&self) -> Value {
        let from = if self.stranger {
            STRANGER
        } else {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        };
        json!({
            "gateway": self.gateway,
            "path": self.path,
            "headers": self.headers,
            "from": from,
            "body": self.body.to_string(),
        })
    }

    /// As a gateway gets it.
    pub fn to_send(&self, world: &World) -> Ask {
        let ask = world.ask(self.gateway).path(self.path).json(&self.body);
        let headers = self.headers.iter();
        let ask = headers.fold(ask, |ask, (name, value)| ask.header(name, value));
        if self.stranger {
            ask.from(STRANGER)
        } else {
            ask
        }
    }
}

fn body(
    random: &mut impl RngExt,
    model: &str,
    content: &str,
    stream: bool,
) -> (&'static str, Value) {
    let turns = json!([{ "role": "user", "content": content }]);
    let chat = json!({ "model": model, "stream": stream, "messages": turns });
    match random.random_range(0..30) {
        0..22 => ("/v1/chat/completions", chat),
        22..25 => (
            "/v1/messages",
            json!({ "model": model, "stream": stream, "max_tokens": 100, "messages": turns }),
        ),
        25..27 => (
            "/v1/completions",
            json!({ "model": model, "stream": stream, "prompt": content }),
        ),
        27 => ("/v1/nothing", chat),
        28 => (
            "/v1/chat/completions",
            json!({ "model": model, "stream": "yes" }),
        ),
        _ => ("/v1/chat/completions", json!({ "messages": turns })),
    }
}

fn pick<'v>(random: &mut impl RngExt, values: &[&'v str]) -> &'v str {
    values.choose(random).copied().unwrap_or_default()
}
