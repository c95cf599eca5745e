//! A random exchange: what a caller sends, and what each member of the chain does with it.

use super::GAP_STEP_MS;
use super::answers::{Kind, script};
use super::bodies;
use super::caller::Call;
use super::server::Script;
use crate::world::{MODEL, PARTIAL_MODEL, PROVIDERS, REGIONS};
use meridian_policy::egress_policy::ClaudeHost;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::net::{IpAddr, Ipv4Addr};

/// One exchange.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its number.
    pub id: u64,
    /// Milliseconds before it.
    pub gap_ms: u64,
    /// The region whose gateway is asked.
    pub gateway: &'static str,
    /// What the caller sends.
    pub call: Call,
    /// The caller leaves when so much has happened.
    pub leaves_after: Option<u32>,
    /// What pools and providers do, in the order of [`MEMBERS`].
    pub scripts: Vec<Vec<Script>>,
    /// What they are to do, for people.
    pub kinds: Vec<Vec<Kind>>,
}

/// All that can be asked.
pub const MEMBERS: [&str; 5] = [
    REGIONS[0],
    REGIONS[1],
    REGIONS[2],
    PROVIDERS[0],
    PROVIDERS[1],
];

/// Exchanges in a row in which members fail about as often, some of them always in one way, and most callers ask one gateway.
const SPELL: u64 = 40;

/// How often a member fails, in percent.
const FAILURES: [u32; 6] = [0, 10, 30, 60, 90, 100];

impl Plan {
    /// The exchange of a number; it depends on the seed and the number alone.
    pub fn random(seed: u64, id: u64, claude: Option<ClaudeHost>) -> Self {
        let mut spell = ChaCha8Rng::seed_from_u64(seed ^ (id / SPELL).wrapping_mul(0x9e37_79b9));
        let failures = MEMBERS.map(|_| one_of(&mut spell, &FAILURES));
        let alike = MEMBERS.map(|_| Kind::alike(&mut spell));
        let usual = one_of(&mut spell, &REGIONS);
        let random = &mut ChaCha8Rng::seed_from_u64(seed.rotate_left(32) ^ id);
        let path = path(random);
        let streamed = random.random_ratio(1, 2);
        let body = bodies::body(random, &path, streamed);
        let gateway = if random.random_ratio(2, 3) {
            usual
        } else {
            one_of(random, &REGIONS)
        };
        let call = call(random, (id, gateway), path.clone(), body);
        let kinds: Vec<Vec<Kind>> = failures
            .iter()
            .zip(alike)
            .map(|(failures, alike)| {
                let kinds = (0..2).map(|_| Kind::random(random, *failures, alike));
                kinds.collect()
            })
            .collect();
        let scripts = MEMBERS.iter().zip(&kinds).map(|(member, kinds)| {
            let host = host(member, claude);
            let each = kinds.iter();
            each.map(|kind| script(random, *kind, &path, streamed, host, member))
                .collect()
        });
        let scripts = scripts.collect();
        Self {
            id,
            gap_ms: gap(random),
            gateway,
            call,
            leaves_after: random
                .random_ratio(1, 30)
                .then(|| random.random_range(1..8)),
            scripts,
            kinds,
        }
    }

    /// It in one line, for people.
    pub fn explain(&self) -> String {
        let Call {
            from,
            http2,
            method,
            path,
            headers,
            pieces,
            has_length,
            trailers,
        } = &self.call;
        let body = pieces.concat();
        let shown = String::from_utf8_lossy(&body[..body.len().min(400)]);
        let headers: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.chars().take(80).collect::<String>()))
            .collect();
        let (id, gap, gateway) = (self.id, self.gap_ms, self.gateway);
        let version = if *http2 { 2 } else { 1 };
        format!(
            "request {id} after {gap} ms to {gateway} from {from} by HTTP/{version}: {method} {path}, {headers:?}, {} bytes in {} pieces, length told: {has_length}, trailers {trailers:?}, leaves after {:?}: {shown:?}; members {:?}",
            body.len(),
            pieces.len(),
            self.leaves_after,
            self.kinds,
        )
    }
}

/// The host of a member that is Claude.
fn host(member: &str, claude: Option<ClaudeHost>) -> Option<ClaudeHost> {
    match member {
        "claude" => claude.map(|_| ClaudeHost::Anthropic),
        "claude-eu" => claude,
        _ => None,
    }
}

/// The id of the request of an exchange.
pub fn request_id(id: u64) -> String {
    format!("request-{id}-end")
}

pub fn one_of<T: Clone>(random: &mut impl Rng, all: &[T]) -> T {
    // Every list has something in it.
    all.choose(random).unwrap_or(&all[0]).clone()
}

/// Seldom a long time: whatever the filter remembers is forgotten by then.
fn gap(random: &mut impl Rng) -> u64 {
    match random.random_range(0..100) {
        0..70 => 0,
        70..85 => GAP_STEP_MS,
        85..97 => random.random_range(GAP_STEP_MS..5000),
        _ => random.random_range(5000..40_000),
    }
}

fn path(random: &mut impl Rng) -> String {
    let path = match random.random_range(0..100) {
        0..44 => "/v1/chat/completions",
        44..60 => "/v1/messages",
        60..68 => "/v1/completions",
        68..76 => "/v1/embeddings",
        76..82 => "/v1/responses",
        82..84 => "/v1/messages/count_tokens",
        84..86 => "/v1/rerank",
        86..87 => "/v1/score",
        87..88 => "/v1/audio/speech",
        88..95 => "/v1/chat/completions",
        95..97 => "/v1/models",
        97..98 => one_of(random, &["/v1/models/llama-3.1-70b", "/v1/models/nothing"]),
        98..99 => one_of(random, &["/metrics", "/", "/v1/files/a%20b"]),
        _ => {
            let near = [
                "/v1/chat/completions/",
                "/v1//chat/completions",
                "/v1/chat%2Fcompletions",
            ];
            one_of(random, &near)
        }
    };
    let query = match random.random_range(0..20) {
        0 => "?beta=true",
        1 => "?api-version=1&x=%22",
        2 => "?",
        _ => "",
    };
    format!("{path}{query}")
}

fn call(random: &mut impl Rng, (id, gateway): (u64, &str), path: String, body: Vec<u8>) -> Call {
    let has_length = random.random_ratio(3, 5);
    let with_body = !body.is_empty();
    let method = match random.random_range(0..100) {
        _ if path.starts_with("/v1/models") && random.random_ratio(3, 4) => "GET",
        0..97 => "POST",
        97 => one_of(random, &["GET", "PUT", "DELETE"]),
        _ => one_of(random, &["HEAD", "OPTIONS", "PATCH"]),
    };
    let body = if matches!(method, "GET" | "HEAD") {
        Vec::new()
    } else {
        body
    };
    let trailers = match random.random_range(0..8) {
        0 if with_body => vec![("x-checksum".to_owned(), "abc".to_owned())],
        1 if with_body => vec![
            ("x-meridian-zone".to_owned(), "global".to_owned()),
            ("x-a".to_owned(), "1".to_owned()),
            ("x-a".to_owned(), "2".to_owned()),
        ],
        _ => Vec::new(),
    };
    Call {
        from: IpAddr::V4(if random.random_ratio(1, 30) {
            Ipv4Addr::new(127, 0, 0, 2)
        } else {
            Ipv4Addr::LOCALHOST
        }),
        http2: random.random_ratio(2, 5),
        has_length: has_length || matches!(method, "GET" | "HEAD"),
        pieces: bodies::pieces(random, body),
        headers: headers(random, id, gateway),
        method,
        path,
        trailers,
    }
}

/// Values of each header that a caller may send; most requests have few of them.
fn headers(random: &mut impl Rng, id: u64, gateway: &str) -> Vec<(String, String)> {
    let mut headers: Vec<(&str, String)> = vec![("x-request-id", request_id(id))];
    let served: &[&str] = match gateway {
        "eu-west-1" => &["US", "JP", "DE", "DE", "FR"],
        _ => &["US", "US", "JP"],
    };
    let is_served = random.random_ratio(9, 10);
    let mut add = |random: &mut dyn FnMut(u32) -> u32, name, percent, values: &[&str]| {
        if random(100) < percent {
            let at = random(values.len() as u32) as usize;
            headers.push((name, values[at].to_owned()));
        }
    };
    let random_below = &mut |below: u32| random.random_range(0..below);
    let odd = [
        "US", "DE", "FR", "XX", "T1", "", "germany", "de", "U S", "US,DE", "DE, DE", "us",
    ];
    add(
        random_below,
        "cf-ipcountry",
        95,
        if is_served { served } else { &odd },
    );
    add(random_below, "cf-ipcountry", 2, &odd);
    let zones = ["eea", "global", "nowhere", "", "eea,global", "GLOBAL"];
    add(random_below, "x-tenant-zone", 5, &zones);
    add(random_below, "X-Tenant-Zone", 2, &zones);
    let tiers = [
        "batch",
        "batch",
        "batch",
        "interactive",
        "BATCH",
        "bulk",
        "",
    ];
    add(random_below, "x-meridian-tier", 20, &tiers);
    let sessions = ["s1", "s2", "s3", "a long session with spaces", "\u{fc}", ""];
    add(random_below, "x-meridian-session", 30, &sessions);
    let needs = ["fresh", "fresh", "FRESH, fresh", "fast", "", ","];
    add(random_below, "x-meridian-needs", 7, &needs);
    for name in [
        "x-meridian-zone",
        "x-meridian-lane",
        "x-meridian-model",
        "x-meridian-decision",
        "x-meridian-length",
        "x-meridian-request",
        "x-meridian-new",
        "x-envoy-upstream-rq-per-try-timeout-ms",
        "x-envoy-max-retries",
        "x-envoy-retry-on",
        "x-envoy-expected-rq-timeout-ms",
    ] {
        add(random_below, name, 3, &["1", "global", "eea", "home", "0"]);
    }
    let types = [
        "application/json",
        "application/json; charset=utf-8",
        "text/plain",
        "application/json; charset=utf-16",
        "multipart/form-data; boundary=x",
    ];
    add(random_below, "content-type", 90, &types);
    let keys = ["Bearer caller-key", "bearer  x", "Basic YTpi"];
    add(random_below, "authorization", 50, &keys);
    add(random_below, "x-api-key", 15, &["caller-key", ""]);
    add(
        random_below,
        "anthropic-version",
        20,
        &["2023-06-01", "2099-01-01"],
    );
    let betas = ["tools-2024-04-04", "a,b", "context-1m-2025-08-07"];
    add(random_below, "anthropic-beta", 8, &betas);
    let encodings = ["gzip", "identity", "br;q=0.5, *"];
    add(random_below, "accept-encoding", 20, &encodings);
    let accepts = ["*/*", "text/event-stream", "application/json"];
    add(random_below, "accept", 30, &accepts);
    add(random_below, "content-encoding", 2, &["gzip", "identity"]);
    add(random_below, "cookie", 5, &["a=b", "a=b; c=d"]);
    add(random_below, "cookie", 3, &["e=f"]);
    add(random_below, "expect", 3, &["100-continue"]);
    add(
        random_below,
        "x-forwarded-for",
        10,
        &["1.2.3.4", "127.0.0.1, 8.8.8.8"],
    );
    add(random_below, "x-repeated", 8, &["one", ""]);
    add(random_below, "x-repeated", 8, &["two", "one"]);
    add(random_below, "user-agent", 30, &["test/1"]);
    let huge = "h".repeat(20_000);
    add(
        random_below,
        "x-huge",
        3,
        &[&huge, &huge[..9000], &huge[..700]],
    );
    let models = [MODEL, PARTIAL_MODEL];
    add(random_below, "x-model", 2, &models);
    let headers = headers.into_iter();
    headers
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
