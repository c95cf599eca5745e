//! Arbitrary requests.

use crate::header_map::HeaderMap;
use crate::request::Head;
use meridian_fixtures::any_fleet::{COUNTRIES, MODELS, SOURCES, ZONES};
use proptest::prelude::*;
use serde_json::json;
use std::net::IpAddr;

/// A request as it arrives.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub source: Option<IpAddr>,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Request {
    /// The head of the request for the filter.
    pub fn head(&self) -> Head<'_> {
        Head {
            method: &self.method,
            path: &self.path,
            source: self.source,
            headers: &self.headers,
        }
    }
}

/// Arbitrary requests. Many are valid enough to reach the later stages.
pub fn requests() -> impl Strategy<Value = Request> {
    let method = prop_oneof![6 => Just("POST".into()), 3 => Just("GET".into()), 1 => ".{0,8}"];
    let path = prop_oneof![
        4 => Just("/v1/chat/completions".into()),
        2 => Just("/v1/messages?beta=true".into()),
        1 => Just("/v1/models".into()),
        1 => "/v1/models/[a-zA-Z0-9%:/?.-]{0,20}",
        1 => ".{0,24}",
    ];
    let source = prop_oneof![
        4 => Just(Some(IpAddr::from([10, 1, 2, 3]))),
        1 => Just("::ffff:10.1.2.3".parse().ok()),
        1 => Just("192.0.2.7".parse().ok()),
        2 => any::<Option<IpAddr>>(),
    ];
    let headers = prop::collection::vec((header_name(), header_value()), 0..6);
    (method, path, source, headers, bodies()).prop_map(|(method, path, source, headers, body)| {
        Request {
            method,
            path,
            source,
            headers: headers.into_iter().collect(),
            body,
        }
    })
}

fn header_name() -> impl Strategy<Value = String> {
    let sources: Vec<&str> = SOURCES.iter().map(|(header, _)| *header).collect();
    let ours = [
        "x-meridian-zone",
        "X-Meridian-Lane",
        "anthropic-version",
        "content-encoding",
    ];
    prop_oneof![
        4 => prop::sample::select(sources).prop_map(String::from),
        1 => prop::sample::select(ours.to_vec()).prop_map(String::from),
        1 => ".{0,12}",
    ]
}

fn header_value() -> impl Strategy<Value = String> {
    let known: Vec<&str> = ZONES
        .into_iter()
        .chain(COUNTRIES)
        .chain(["XX", "identity"])
        .collect();
    prop_oneof![5 => prop::sample::select(known).prop_map(String::from), 1 => ".{0,12}"]
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let good = (
        prop::sample::select(MODELS.to_vec()),
        any::<bool>(),
        ".{0,12}",
    )
        .prop_map(|(model, stream, user)| {
            json!({ "model": model, "stream": stream, "user": user })
                .to_string()
                .into_bytes()
        });
    prop_oneof![4 => good, 1 => prop::collection::vec(any::<u8>(), 0..64)]
}
