//! A random exchange: what a caller sends, and what each member of the chain does with it.

use super::answers::{Kind, script};
use super::bodies;
use super::caller::Call;
use super::random::one_of;
use super::server::Script;
use super::steps::GAP_STEP_MS;
use crate::world::{MODEL, PARTIAL_MODEL, PROVIDERS, REGIONS};
use meridian_policy::egress_policy::ClaudeHost;
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

/// Seldom a long time: whatever the filter remembers is forgotten by then.
fn gap(random: &mut impl Rng) -> u64 {
    match random.random_range(0..100) {
        0..70 => 0,
        70..85 => GAP_STEP_MS,
        85..97 => random.random_range(GAP_STEP_MS..5000),
        _ => random.random_range(5000..40_000),
    }
}

/// Paths, and how often each is asked, in percent.
const PATHS: [(&str, u32); 18] = [
    ("/v1/chat/completions", 51),
    ("/v1/messages", 16),
    ("/v1/completions", 8),
    ("/v1/embeddings", 8),
    ("/v1/responses", 6),
    ("/v1/messages/count_tokens", 2),
    ("/v1/rerank", 2),
    ("/v1/score", 1),
    ("/v1/audio/speech", 1),
    ("/v1/models", 2),
    ("/v1/models/llama-3.1-70b", 1),
    ("/v1/models/nothing", 1),
    ("/metrics", 1),
    ("/", 1),
    ("/v1/files/a%20b", 1),
    ("/v1/chat/completions/", 1),
    ("/v1//chat/completions", 1),
    ("/v1/chat%2Fcompletions", 1),
];

fn path(random: &mut impl Rng) -> String {
    let all = PATHS.iter().map(|(_, often)| often).sum();
    let mut at = random.random_range(0..all);
    let found = PATHS.iter().find(|(_, often)| {
        let is_it = at < *often;
        at = at.saturating_sub(*often);
        is_it
    });
    let path = found.map_or(PATHS[0].0, |(path, _)| path);
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

/// Headers that a caller may send besides its country: how often each comes, in percent, and its values.
const HEADERS: [(&str, u32, &[&str]); 35] = [
    (
        "x-tenant-zone",
        5,
        &["eea", "global", "nowhere", "", "eea,global", "GLOBAL"],
    ),
    ("X-Tenant-Zone", 2, &["eea", "global"]),
    (
        "x-meridian-tier",
        20,
        &[
            "batch",
            "batch",
            "batch",
            "interactive",
            "BATCH",
            "bulk",
            "",
        ],
    ),
    (
        "x-meridian-session",
        30,
        &["s1", "s2", "s3", "a long session with spaces", "\u{fc}", ""],
    ),
    (
        "x-meridian-needs",
        7,
        &["fresh", "fresh", "FRESH, fresh", "fast", "", ","],
    ),
    ("x-meridian-zone", 3, OURS),
    ("x-meridian-lane", 3, OURS),
    ("x-meridian-model", 3, OURS),
    ("x-meridian-decision", 3, OURS),
    ("x-meridian-length", 3, OURS),
    ("x-meridian-request", 3, OURS),
    ("x-meridian-new", 3, OURS),
    ("x-envoy-upstream-rq-per-try-timeout-ms", 3, OURS),
    ("x-envoy-max-retries", 3, OURS),
    ("x-envoy-retry-on", 3, OURS),
    ("x-envoy-expected-rq-timeout-ms", 3, OURS),
    (
        "content-type",
        85,
        &[
            "application/json",
            "application/json; charset=utf-8",
            "text/plain",
        ],
    ),
    (
        "content-type",
        4,
        &[
            "application/json; charset=utf-16",
            "multipart/form-data; boundary=x",
        ],
    ),
    (
        "authorization",
        50,
        &["Bearer caller-key", "bearer  x", "Basic YTpi"],
    ),
    ("x-api-key", 15, &["caller-key", ""]),
    ("anthropic-version", 20, &["2023-06-01", "2099-01-01"]),
    (
        "anthropic-beta",
        8,
        &["tools-2024-04-04", "a,b", "context-1m-2025-08-07"],
    ),
    ("accept-encoding", 20, &["gzip", "identity", "br;q=0.5, *"]),
    (
        "accept",
        30,
        &["*/*", "text/event-stream", "application/json"],
    ),
    ("content-encoding", 2, &["gzip", "identity"]),
    ("cookie", 5, &["a=b", "a=b; c=d"]),
    ("cookie", 3, &["e=f"]),
    ("expect", 3, &["100-continue"]),
    ("x-forwarded-for", 10, &["1.2.3.4", "127.0.0.1, 8.8.8.8"]),
    ("x-repeated", 8, &["one", ""]),
    ("x-repeated", 8, &["two", "one"]),
    ("user-agent", 30, &["test/1"]),
    ("x-model", 2, &[MODEL, PARTIAL_MODEL]),
    ("te", 2, &["trailers"]),
    ("x-empty", 3, &[""]),
];

/// Values of headers that are the gateway's own.
const OURS: &[&str] = &["1", "global", "eea", "home", "0"];

const ODD_COUNTRIES: &[&str] = &[
    "US", "DE", "FR", "XX", "T1", "", "germany", "de", "U S", "US,DE", "DE, DE", "us",
];

fn headers(random: &mut impl Rng, id: u64, gateway: &str) -> Vec<(String, String)> {
    let served: &[&str] = match gateway {
        "eu-west-1" => &["US", "JP", "DE", "DE", "FR"],
        _ => &["US", "US", "JP"],
    };
    let usual = if random.random_ratio(9, 10) {
        served
    } else {
        ODD_COUNTRIES
    };
    let countries = [
        ("cf-ipcountry", 95, usual),
        ("cf-ipcountry", 2, ODD_COUNTRIES),
    ];
    let mut headers = vec![("x-request-id".to_owned(), request_id(id))];
    for (name, often, values) in countries.into_iter().chain(HEADERS) {
        if random.random_range(0..100) < often {
            headers.push((name.to_owned(), one_of(random, values).to_owned()));
        }
    }
    if random.random_ratio(1, 30) {
        let size = one_of(random, &[700, 9000, 20_000]);
        headers.push(("x-huge".to_owned(), "h".repeat(size)));
    }
    headers
}
