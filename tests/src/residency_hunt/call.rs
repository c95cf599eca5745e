//! A random request, with a marker in each of its parts.

use super::judge::Caller;
use super::marker::{Part, marker};
use crate::world::{MODEL, PARTIAL_MODEL, REGIONS};
use rand::{Rng, RngExt};
use serde_json::{Value, json};

/// What callers' countries are: those that zones name, one of the rest of the world, unknown, and untold.
const COUNTRIES: [Option<&str>; 14] = [
    Some("DE"),
    Some("DE"),
    Some("FR"),
    Some("FR"),
    Some("IT"),
    Some("GB"),
    Some("CH"),
    Some("US"),
    Some("US"),
    Some("JP"),
    Some("BR"),
    Some("AU"),
    Some("XX"),
    None,
];

/// How the body of a request is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// HTTP/1.1 with a length.
    Length,
    /// HTTP/1.1 in chunks with extensions, and trailers.
    Chunks,
    /// HTTP/2 with trailers.
    Http2,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its number.
    pub id: u32,
    /// Who calls where.
    pub caller: Caller,
    /// The path with its query.
    pub path: String,
    /// Headers besides those of the framing.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// The framing.
    pub framing: Framing,
    /// The time over which the body trickles, in milliseconds.
    pub trickle_ms: u64,
}

impl Call {
    /// The next random request. `slow_uploads`: whether some bodies trickle.
    pub fn random(random: &mut impl Rng, id: u32, slow_uploads: bool) -> Self {
        let country = COUNTRIES[random.random_range(0..COUNTRIES.len())];
        let gateway = REGIONS[random.random_range(0..REGIONS.len())];
        let framing = match random.random_range(0..4) {
            0 => Framing::Chunks,
            1 => Framing::Http2,
            _ => Framing::Length,
        };
        let slow = slow_uploads && random.random_ratio(1, 4);
        let (path, body) = content(random, id);
        Self {
            id,
            caller: Caller { country, gateway },
            path,
            headers: headers(random, id, country),
            body: body.to_string(),
            framing,
            trickle_ms: if slow {
                random.random_range(1000..5000)
            } else {
                0
            },
        }
    }
}

fn headers(
    random: &mut impl Rng,
    id: u32,
    country: Option<&'static str>,
) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("content-type", "application/json".into()),
        ("x-probe", marker(id, Part::Header)),
        // Few conversations: what a gateway remembers of one meets the next edit.
        ("x-meridian-session", random.random_range(0..50).to_string()),
    ];
    if let Some(country) = country {
        headers.push(("cf-ipcountry", country.into()));
    }
    if random.random_ratio(1, 10) {
        headers.push(("x-meridian-tier", "batch".into()));
    }
    headers
}

/// The path and the body.
fn content(random: &mut impl Rng, id: u32) -> (String, Value) {
    let (prompt, query) = (marker(id, Part::Body), marker(id, Part::Query));
    let model = if random.random_ratio(1, 4) {
        PARTIAL_MODEL
    } else {
        MODEL
    };
    let stream = random.random_ratio(1, 2);
    let turns = json!([{ "role": "user", "content": prompt }]);
    let chat = json!({ "model": model, "stream": stream, "messages": turns });
    let (path, body) = match random.random_range(0..20) {
        0..2 => (
            "embeddings".into(),
            json!({ "model": model, "input": prompt }),
        ),
        2..4 => (
            "completions".into(),
            json!({ "model": model, "stream": stream, "prompt": prompt }),
        ),
        4..7 => (
            "messages".into(),
            json!({ "model": model, "max_tokens": 16, "stream": stream, "messages": turns }),
        ),
        // No inference has a path with a free part; a gateway must not pass these on.
        7 => (format!("chat/completions/{}", marker(id, Part::Path)), chat),
        _ => ("chat/completions".into(), chat),
    };
    (format!("/v1/{path}?q={query}"), body)
}
