//! Fleets to translate.

use crate::snapshot::Snapshot;
use crate::translate::translate;
use meridian_planner::definition::definitions;
use meridian_planner::plan::Plan;
use meridian_policy::filter_policy::Lease;
use meridian_policy::{Fleet, RegionName};

/// Regions in a row, `r0` and so on, of which the last two are a pinned zone's. Each has two models.
pub fn row(regions: usize) -> String {
    let names: Vec<String> = (0..regions).map(|at| format!("r{at}")).collect();
    let region = |at: usize| {
        let mut nearest: Vec<usize> = (0..regions).filter(|other| *other != at).collect();
        nearest.sort_by_key(|other| other.abs_diff(at));
        let nearest: Vec<&str> = nearest
            .into_iter()
            .map(|other| names[other].as_str())
            .collect();
        format!(
            "  r{at}:
    gateway: {{ address: 10.9.{at}.1, port: 8443 }}
    nearest: [{}]
    pools:
      llama: {{ endpoints: [10.9.{at}.2:8000] }}
      mistral: {{ endpoints: [10.9.{at}.3:8000] }}
",
            nearest.join(", ")
        )
    };
    format!(
        "
zones:
  eea: {{ countries: [preset:eea], pinned: true, regions: [{}] }}
  global: {{ countries: [preset:rest], regions: [{}] }}
unknown_zone: eea
classify:
  - {{ header: cf-ipcountry, gives: country, trust: {{ cidr: [10.0.0.0/8] }} }}
regions:
{}",
        names[regions - 2..].join(", "),
        names.join(", "),
        (0..regions).map(region).collect::<String>()
    )
}

/// One pinned zone that refuses, DNS pools, two fallbacks.
pub const EXAMPLE: &str = r#"
zones:
  eea:    { countries: [preset:eea], pinned: true, regions: [eu-west-1], fallbacks: [claude-eu] }
  global: { countries: [preset:rest], regions: [us-west-2, us-east-1, eu-west-1], fallbacks: [claude] }
unknown_zone: eea
classify:
  - { header: x-tenant-zone, gives: zone, trust: { cidr: [10.0.0.0/8] } }
  - { header: cf-ipcountry, gives: country, trust: { cidr: [10.0.0.0/8] } }
regions:
  us-west-2:
    gateway: { address: gw.us-west-2.example.com, port: 8443 }
    nearest: [us-east-1, eu-west-1]
    pools:
      llama: { endpoints: [10.0.1.10:8000, 10.0.1.11:8000] }
      mistral: { dns: mistral.us.svc:8000 }
  us-east-1:
    gateway: { address: gw.us-east-1.example.com, port: 8443 }
    pools:
      llama: { endpoints: [10.0.2.10:8000] }
  eu-west-1:
    gateway: { address: gw.eu-west-1.example.com, port: 8443 }
    pools:
      llama: { endpoints: [10.0.3.10:8000] }
fallbacks:
  claude:    { provider: openai-compatible, url: "https://api.example.com/v1", jurisdiction: [global], api_key: { env: CLAUDE_KEY } }
  claude-eu: { provider: openai-compatible, url: "https://eu.example.com/v1", jurisdiction: [eea], api_key: { file: /run/secrets/claude-eu } }
"#;

/// Two pinned zones, one of them forwarded by gateways outside it, two EU regions, several fallbacks, model names
/// with `/` and `:`, a provider on loopback.
pub const TWO_PINNED: &str = r#"
zones:
  eea:    { countries: [preset:eea], pinned: true, regions: [eu-1, eu-2], fallbacks: [claude-eu, other-eu], misdirected: forward }
  uk:     { countries: [preset:uk], pinned: true, regions: [uk-1], misdirected: redirect }
  global: { countries: [preset:rest], regions: [us-1, eu-1, eu-2], fallbacks: [claude] }
unknown_zone: refuse
classify:
  - { header: cf-ipcountry, gives: country, trust: { cidr: [10.0.0.0/8] } }
regions:
  us-1:
    gateway: { address: 10.1.0.1, port: 8443 }
    pools:
      "meta-llama/Llama-3.1:8b": { endpoints: [10.1.1.10:8000] }
      m: { endpoints: [10.1.1.10:8001] }
  eu-1:
    gateway: { address: 10.2.0.1, port: 8443 }
    pools:
      "meta-llama/Llama-3.1:8b": { dns: "llama.eu-1.svc:8000" }
      m: { endpoints: [10.2.1.10:8001] }
  eu-2:
    gateway: { address: gw.eu-2.example.com, port: 8443 }
    pools:
      "meta-llama/Llama-3.1:8b": { endpoints: [10.3.1.10:8000] }
  uk-1:
    gateway: { address: gw.uk-1.example.com, port: 8443 }
    public: { url: "https://uk-1.example.com" }
    pools:
      m: { endpoints: [10.4.1.10:8001] }
fallbacks:
  claude:    { provider: openai-compatible, url: "https://api.example.com/v1", jurisdiction: [global], api_key: { env: CLAUDE_KEY } }
  claude-eu: { provider: openai-compatible, url: "https://eu.example.com:8443/eu/v1", jurisdiction: [eea], api_key: { file: /run/secrets/claude-eu } }
  other-eu:  { provider: openai-compatible, url: "http://127.0.0.1:9090/v1", jurisdiction: [eea], api_key: { env: OTHER_KEY } }
"#;

/// One region, one pinned zone, no fallback.
pub const LONE: &str = r#"
zones:
  eea: { countries: [preset:eea, preset:rest], pinned: true, regions: [eu] }
regions:
  eu:
    gateway: { address: gw.eu.example.com, port: 8443 }
    pools:
      m: { dns: "vllm.llm.svc:8000" }
"#;

/// Regions whose pools have the same cluster-local name, and the same loopback address.
pub const LOCAL: &str = r#"
zones:
  eea:    { countries: [preset:eea], pinned: true, regions: [eu] }
  global: { countries: [preset:rest], regions: [us, eu] }
classify:
  - { header: cf-ipcountry, gives: country, trust: { cidr: [10.0.0.0/8] } }
regions:
  us: { gateway: { address: 10.0.0.1, port: 8443 }, pools: { m: { dns: "vllm.llm.svc:8000" }, n: { endpoints: [127.0.0.1:9000] } } }
  eu: { gateway: { address: 10.0.0.2, port: 8443 }, pools: { m: { dns: "vllm.llm.svc:8000" }, n: { endpoints: [127.0.0.1:9000] } } }
"#;

/// A primary in the US, replicas there and in two regions of the EU, and one region without a database.
pub const RETRIEVAL: &str = r#"
zones:
  eea:    { countries: [preset:eea], pinned: true, regions: [eu-1, eu-2, eu-3] }
  global: { countries: [preset:rest], regions: [us-1, us-2, eu-1] }
classify:
  - { header: cf-ipcountry, gives: country, trust: { cidr: [10.0.0.0/8] } }
regions:
  us-1:
    gateway: { address: 10.1.0.1, port: 8443 }
    pools: { m: { endpoints: ["10.1.0.2:8000"] } }
    vector_db: { endpoint: "10.1.0.3:19530", listen: "0.0.0.0:19530", role: primary }
  us-2:
    gateway: { address: gw.us-2.example.com, port: 8443 }
    pools: { m: { endpoints: ["10.2.0.2:8000"] } }
    signals: [{ prometheus: "http://10.2.0.3:9187/metrics", preset: postgres }]
    vector_db: { endpoint: "milvus.db.svc:19530", listen: "0.0.0.0:19530", role: replica }
  eu-1:
    gateway: { address: 10.3.0.1, port: 8443 }
    pools: { m: { endpoints: ["10.3.0.2:8000"] } }
    signals: [{ prometheus: "http://10.3.0.3:9187/metrics", preset: milvus }]
    vector_db: { endpoint: "10.3.0.3:19530", listen: "0.0.0.0:19530", role: replica }
  eu-2:
    gateway: { address: 10.4.0.1, port: 8443 }
    pools: { m: { endpoints: ["10.4.0.2:8000"] } }
    signals: [{ prometheus: "http://10.4.0.3:9187/metrics", preset: milvus }]
    vector_db: { endpoint: "10.4.0.3:19530", listen: "0.0.0.0:19530", role: replica, gateway_port: 9444 }
  eu-3:
    gateway: { address: 10.5.0.1, port: 8443 }
    pools: { m: { endpoints: ["10.5.0.2:8000"] } }
"#;

/// Only unpinned zones.
pub const UNPINNED: &str = r#"
zones:
  world: { countries: [preset:rest], regions: [a, b] }
unknown_zone: world
regions:
  a: { gateway: { address: 10.0.0.1, port: 1 }, pools: { m: { endpoints: [10.0.0.2:1] } } }
  b: { gateway: { address: 10.0.1.1, port: 1 }, pools: { m: { endpoints: [10.0.1.2:1] }, n: { endpoints: [10.0.1.3:1] } } }
"#;

/// The fleet of a file's text.
pub fn fleet(text: &str) -> Fleet {
    crate::fleet::parse(text).unwrap()
}

/// The ID of a zone's definition.
pub fn id(fleet: &Fleet, zone: &str) -> String {
    definitions(fleet).zones[zone].to_string()
}

/// The snapshot of a region.
pub fn snapshot(fleet: &Fleet, home: &str) -> Snapshot {
    translate(
        fleet,
        &Plan::default(),
        &home.parse::<RegionName>().unwrap(),
        fleet.control_plane.as_ref().map(|_| Lease {
            given: 1,
            runs_ms: 60_000,
        }),
    )
}
