//! The fleet file as it is written. Only the types are checked here; unknown fields are refused.
//!
//! The doc comments of these fields are the documentation of the file: `meridian schema` prints them, and `docs/fleet.md` is
//! generated from that.

mod finding;
mod model;
mod signal;
mod vector_db;

pub use finding::{Finding, RawFallbackFinding, RawPoolFinding, RawSourceFinding, RawZoneFinding};
pub use model::{RawBalance, RawModel, RawOwnLimits};
pub use signal::{RawFigures, RawMetric, RawSignal, RawSourceTls};
pub use vector_db::{RawRole, RawVectorDb};

use meridian_policy::fleet::ZoneSourceKind;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A fleet of inference regions. These are the fields at the top of the file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Meridian fleet file")]
pub struct RawFleet {
    /// Residency zones by name: which callers belong to each, and which regions and fallbacks may serve them. At least one.
    pub zones: BTreeMap<String, RawZone>,
    /// The zone of callers whose zone no source tells, or `refuse` (they get 403). Required, unless exactly one zone is pinned: then
    /// that zone is the default.
    pub unknown_zone: Option<String>,
    /// Request headers that tell a caller's zone, in order of preference. A header that names a pinned zone wins over a header that
    /// names an unpinned one, whatever their order.
    #[serde(default)]
    pub classify: Vec<RawSource>,
    /// Regions by name. A region is one location with a gateway (Envoy) and pools of inference servers. At least one.
    pub regions: BTreeMap<String, RawRegion>,
    /// Hosted providers by name. A fallback is asked last, when the regions have failed in which the request
    /// is tried (`policy.failover`).
    #[serde(default)]
    pub fallbacks: BTreeMap<String, RawFallback>,
    /// Settings of single models, by the model name that callers send.
    #[serde(default)]
    pub models: BTreeMap<String, RawModel>,
    /// Limits and thresholds for the whole fleet.
    #[serde(default)]
    pub policy: RawPolicy,
    /// Settings that are the same on every gateway.
    #[serde(default)]
    pub gateways: RawGateways,
    /// The control plane (`meridian serve`) as the gateways reach it. Without it, `meridian export` still prints a static Envoy
    /// configuration for each region.
    pub control_plane: Option<RawControlPlane>,
}

/// A residency zone: the callers that belong to it, and the regions and fallbacks that may serve them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawZone {
    /// Countries whose callers belong to this zone: ISO 3166-1 alpha-2 codes such as `DE`, and the presets `preset:eea`,
    /// `preset:uk`, `preset:ch` and `preset:rest` (every country that no zone names). Leave it out if only a header that gives a
    /// zone (`classify`) assigns callers to this zone.
    #[serde(default)]
    pub countries: Vec<String>,
    /// `true`: requests of this zone never leave its regions and fallbacks. Default: `false`.
    #[serde(default)]
    pub pinned: bool,
    /// Regions that may serve this zone. At least one.
    pub regions: Vec<String>,
    /// Fallbacks that may serve this zone, in the order in which they are asked. Default: none.
    #[serde(default)]
    pub fallbacks: Vec<String>,
    /// For a pinned zone: the jurisdictions that it accepts. A fallback is refused if its `jurisdiction` lists anything else.
    /// Default: the zone's own name, e.g. `[eea]`.
    pub jurisdictions: Option<Vec<String>>,
    /// For a pinned zone: what a gateway outside the zone does with a caller of the zone. Default: `refuse`.
    pub misdirected: Option<RawMisdirected>,
    /// Active-passive: the regions that are asked first, in this order, at every gateway. Excludes `weights`. Default: the gateway's
    /// own region first, then the nearest (active-active).
    pub order: Option<Vec<String>>,
    /// Active-active with fixed weights: relative parts of the zone's requests at every gateway, e.g. `{ us-west-2: 70, us-east-1: 30 }`.
    /// Regions without a weight get nothing while a weighted one serves. Load moves nobody. Excludes `order`.
    pub weights: Option<BTreeMap<String, u32>>,
    /// Types of tools that the zone's fallbacks may run themselves, as requests name them, e.g. `[web_search]`. A provider that runs a
    /// tool may send the prompt, or what it found, to third places. Default: none. A request with another such tool is refused, but for
    /// a `web_search*` of OpenAI's APIs, which is left out. Tools that the caller runs need no entry. A zone that is not pinned needs one
    /// for Claude alone: its other fallbacks get every tool.
    pub fallback_tools: Option<Vec<String>>,
    /// Whether servers may fetch images, audio and files that a request of this zone names by URL. The fallbacks of a pinned zone may
    /// not in any case. Default: `allow`.
    pub remote_content: Option<RawRemoteContent>,
    /// How far failover of this zone goes, in place of `policy.failover`.
    pub failover: Option<RawFailover>,
    /// Limits of this zone. They replace those of `policy.limits`; those of `models` replace both.
    #[serde(default)]
    pub limits: RawOwnLimits,
    /// Findings of the check that you insist on. Without its name here, each is refused. `meridian validate` prints what is accepted.
    /// Default: none.
    #[serde(default)]
    pub accept: Vec<RawZoneFinding>,
}

/// Whether servers may fetch what a request names by URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawRemoteContent {
    /// The servers of the pools fetch it.
    Allow,
    /// The caller gets 400, which names the field. It sends the content itself, as a `data:` URL.
    Refuse,
}

/// What a gateway outside a pinned zone does with a caller of that zone.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawMisdirected {
    /// The caller gets 421 with the URLs of the right gateways.
    Refuse,
    /// The caller gets 307 to the nearest right gateway. Every region of the zone needs a `public.url`.
    Redirect,
    /// The request is sent on, over mTLS, to a gateway in the zone. It passes through a gateway outside the zone.
    Forward,
}

/// A request header that tells a caller's zone or country.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSource {
    /// Name of the header, e.g. `cf-ipcountry`.
    pub header: String,
    /// What the header's value is.
    #[schemars(with = "RawGives")]
    pub gives: ZoneSourceKind,
    /// Who may send this header. From anyone else the gateway removes it.
    pub trust: RawTrust,
    /// Findings of the check that you insist on. Without its name here, each is refused. `meridian validate` prints what is accepted.
    /// Default: none.
    #[serde(default)]
    pub accept: Vec<RawSourceFinding>,
}

/// What the value of a header is.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code)] // The schema of `ZoneSourceKind`, which the policy crate owns.
enum RawGives {
    /// The name of a zone in this file.
    Zone,
    /// An ISO 3166-1 alpha-2 country code. `XX` and `T1` mean that the edge does not know the country.
    Country,
}

/// Who is trusted to send a header.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTrust {
    /// Networks of the load balancers in front of the gateway, e.g. `[10.0.0.0/8]`. Compared with the source address of the
    /// connection, never with `x-forwarded-for`.
    pub cidr: Vec<String>,
}

/// One location with a gateway (Envoy) and pools of inference servers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRegion {
    /// How the gateways of the other regions reach this gateway.
    pub gateway: RawGateway,
    /// How callers reach this gateway.
    #[serde(default)]
    pub public: RawPublic,
    /// Address of Envoy's admin interface, `ip:port`, on loopback only. Default: `127.0.0.1:9901`.
    pub admin: Option<String>,
    /// Geographic position. Round trips that `round_trips` does not give are estimated from the distance.
    pub location: Option<RawLocation>,
    /// Measured network round trips to other regions, e.g. `{ us-east-1: 62ms }`. An entry counts for both directions.
    #[serde(default)]
    pub round_trips: BTreeMap<String, String>,
    /// Order of failover: the other regions, the nearest first. Regions that are left out follow by round trip; regions without a
    /// known round trip follow last, by name.
    #[serde(default)]
    pub nearest: Vec<String>,
    /// Pools by model name (the `model` that callers send): the inference servers of that model in this region.
    #[serde(default)]
    pub pools: BTreeMap<String, RawPool>,
    /// Sources from which the control plane reads this region's load and health. A region without sources is treated as if it always
    /// had room.
    #[serde(default)]
    pub signals: Vec<RawSignal>,
    /// Relative cost of serving here, in any unit that all regions share. Batch requests go to the cheapest region with room; prices
    /// change nothing for other requests. All regions need one, or none. Default: all regions cost the same.
    pub price: Option<f64>,
    /// The vector database that is read in this region.
    pub vector_db: Option<RawVectorDb>,
}

/// A geographic position in degrees. A precision of 0.1 degrees is enough.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawLocation {
    /// Degrees north of the equator, -90 to 90.
    pub latitude: f64,
    /// Degrees east of Greenwich, -180 to 180.
    pub longitude: f64,
}

/// How the gateways of the other regions reach this gateway, over mTLS.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGateway {
    /// IP address or DNS name that the other gateways connect to.
    pub address: String,
    /// Port that the other gateways connect to.
    pub port: u16,
    /// Address on which this gateway listens for the others, `ip:port`. Default: `0.0.0.0:<port>`.
    pub listen: Option<String>,
    /// The largest number of Envoys that this region runs. They share this region's part of the fallbacks' budgets. Default: `1`.
    pub replicas: Option<u32>,
    /// How this region's Envoys run the filter. Default: `gateways.filter`.
    pub filter: Option<RawFilterKind>,
    /// This gateway's certificate and key, and the CA of all gateways. Default: `gateway.crt`, `gateway.key` and `ca.crt` in
    /// `/etc/meridian/tls`.
    pub tls: Option<RawGatewayTls>,
}

/// Certificate files on the gateway's machine, absolute paths, PEM. They are read again when they are replaced.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGatewayTls {
    /// CA that signed the certificates of all gateways. It may be several, to [roll it over](operations.md#certificates).
    pub ca: String,
    /// Certificate of this gateway, with the URI SAN `spiffe://<trust_domain>/region/<region>`.
    pub certificate: String,
    /// Private key of `certificate`.
    pub key: String,
}

/// How callers reach a gateway.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPublic {
    /// Address on which the gateway listens for callers, `ip:port`. Default: `0.0.0.0:8080`.
    pub listen: Option<String>,
    /// URL at which callers reach this gateway, e.g. `https://us-west-2.llm.example.com`. It appears in 421 and 307 responses.
    pub url: Option<String>,
    /// Certificate with which the gateway ends the callers' TLS. Default: plain HTTP.
    pub tls: Option<RawKeyPair>,
}

/// Certificate files on the gateway's machine, absolute paths, PEM.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawKeyPair {
    /// Certificate chain.
    pub certificate: String,
    /// Private key of `certificate`.
    pub key: String,
}

/// The inference servers of one model in one region. Give either `endpoints` or `dns`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPool {
    /// Addresses of the servers, `ip:port`, e.g. `["10.0.1.10:8000"]`.
    pub endpoints: Option<Vec<String>>,
    /// DNS name that resolves to the addresses of all servers, `name:port`, e.g. `vllm.llm.svc:8000`.
    pub dns: Option<String>,
    /// Whether a server stays in use while its health check passes although `dns` no longer has its address. Default: `true`, so that
    /// a mistake in a name server takes no server away. With `false` the name decides: a pool whose name is gone counts as down.
    pub keep_removed: Option<bool>,
    /// Context length in tokens: vLLM's `--max-model-len`. A prompt that is too long for this pool goes on to a later pool or
    /// fallback of the chain with a larger `context`. Give it to all pools and fallbacks that serve the model, or to none: without it
    /// the refusal is final.
    pub context: Option<u32>,
    /// HTTP path of the servers' health check, which answers 200 while the server works. Default: `/health`. Triton's OpenAI frontend
    /// has `/health/ready`.
    pub health: Option<String>,
    /// Findings of the check that you insist on. Without its name here, each is refused. `meridian validate` prints what is accepted.
    /// Default: none.
    #[serde(default)]
    pub accept: Vec<RawPoolFinding>,
}

/// A hosted provider that is asked when no region can serve a request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawFallback {
    /// API of the provider.
    pub provider: RawProvider,
    /// For `openai-compatible`: the base URL that the provider gives to its clients, e.g. `https://api.example.com/v1`. The other
    /// providers have a default.
    pub url: Option<String>,
    /// The model, by the provider's name. For `anthropic`, `vertex` and `bedrock`: the Claude model, e.g. `claude-sonnet-5`; required.
    /// For `openai-compatible`: the model that gets every request, but for those in `models`. Default: the name that the caller sent.
    pub model: Option<String>,
    /// For `openai-compatible`: the provider's names of single models, by the callers' names, e.g.
    /// `{ llama-3.1-70b: meta-llama/Llama-3.1-70B-Instruct }`.
    #[serde(default)]
    pub models: BTreeMap<String, String>,
    /// For `anthropic`, `vertex` and `bedrock`: `max_tokens` of requests that do not give one. Default: `4096`.
    pub max_tokens: Option<u32>,
    /// For `vertex`: the Google Cloud project.
    pub project: Option<String>,
    /// For `vertex`: the Google Cloud location, e.g. `europe-west1` or `eu`. For `bedrock`: the AWS region, e.g. `eu-central-1`.
    pub location: Option<String>,
    /// For `bedrock` with an inference profile such as `eu.anthropic.claude-sonnet-5`: all AWS regions that the profile sends
    /// requests to.
    #[serde(default)]
    pub destinations: Vec<String>,
    /// Jurisdictions in which the provider processes requests, e.g. `[eea]`. `[global]` means anywhere.
    pub jurisdiction: Vec<String>,
    /// API key of the provider, as a reference that Envoy resolves on the gateway: `{ env: NAME }`, `{ file: PATH }` or
    /// `{ sds: PATH }`. The key itself never stands in this file.
    pub api_key: RawSecret,
    /// Context length in tokens, compared with that of the pools.
    pub context: Option<u32>,
    /// For `anthropic`, `vertex` and `bedrock`: the largest body of a request, e.g. `8MiB`. Larger ones get 413. Default, and at
    /// most: what the provider takes, `32MiB`, `30MiB` and `20MiB`. A worker of a gateway holds about four times as much while it
    /// translates such a request.
    pub body: Option<String>,
    /// Spending limits. Past a limit, callers get 503 with `Retry-After`. Default: no limit.
    #[serde(default)]
    pub budget: RawBudget,
    /// For `anthropic`, `vertex` and `bedrock`: the provider's prices. Required for `budget.max_usd_per_hour`.
    pub price: Option<RawPrice>,
    /// Findings of the check that you insist on. Without its name here, each is refused. `meridian validate` prints what is accepted.
    /// Default: none.
    #[serde(default)]
    pub accept: Vec<RawFallbackFinding>,
}

/// What all gateways together may spend with a fallback. Each gateway gets an equal part of it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawBudget {
    /// Requests in any 60 seconds.
    pub max_requests_per_minute: Option<u64>,
    /// US dollars in any 60 minutes, computed from `price` and the token counts in the answers. A request in flight counts with the
    /// most that it can cost. Not for `openai-compatible`.
    pub max_usd_per_hour: Option<f64>,
}

/// Prices in US dollars per million tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPrice {
    /// Price of prompt tokens.
    pub input: f64,
    /// Price of answer tokens.
    pub output: f64,
    /// Price of prompt tokens that are read from the provider's cache. Default: `input`.
    pub cache_read: Option<f64>,
    /// Price of prompt tokens that are written to the provider's cache. Default: twice `input`.
    pub cache_write: Option<f64>,
}

/// The API of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RawProvider {
    /// Any API that is compatible with OpenAI's.
    OpenaiCompatible,
    /// Claude by Anthropic's API. Chat Completions are translated; `/v1/messages` is passed on. Runs in the US or anywhere.
    Anthropic,
    /// Claude on Google's Vertex AI, in one location. Translated as for `anthropic`.
    Vertex,
    /// Claude on Amazon Bedrock, in one AWS region or by an inference profile of several. Translated as for `anthropic`.
    Bedrock,
}

/// Where a gateway finds a secret. Give exactly one field.
#[derive(Debug, Default, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSecret {
    /// Environment variable of the Envoy process. Read when Envoy starts.
    pub env: Option<String>,
    /// File on the gateway that holds the secret. Read when Envoy starts.
    pub file: Option<String>,
    /// File on the gateway that holds the secret as an Envoy SDS resource. Envoy reads it again when another file is moved over it.
    pub sds: Option<String>,
}

/// Users may put the secret itself here by mistake, even as a field name. serde's errors would print it. So every value is accepted
/// here; whatever has the wrong form becomes an empty `RawSecret`, which the check refuses.
impl<'de> Deserialize<'de> for RawSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut secret = Self::default();
        if let Value::Object(fields) = Value::deserialize(deserializer)? {
            for (field, value) in fields {
                match (field.as_str(), value) {
                    ("env", Value::String(name)) => secret.env = Some(name),
                    ("file", Value::String(path)) => secret.file = Some(path),
                    ("sds", Value::String(path)) => secret.sds = Some(path),
                    _ => return Ok(Self::default()),
                }
            }
        }
        Ok(secret)
    }
}

/// Limits and thresholds for the whole fleet.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPolicy {
    /// Time and size limits of requests.
    #[serde(default)]
    pub limits: RawLimits,
    /// How far failover goes.
    #[serde(default)]
    pub failover: RawFailover,
    /// When a region sends part of its callers to other regions.
    #[serde(default)]
    pub overflow: RawOverflow,
    /// When a pool counts as soft-unhealthy.
    #[serde(default)]
    pub unhealthy: RawUnhealthy,
    /// Batch requests: requests that can wait.
    #[serde(default)]
    pub batch: RawBatch,
    /// Requests that need fresh data.
    #[serde(default)]
    pub needs: RawNeeds,
}

/// Requests that need fresh data. They go to a region whose data store is not behind; see `unhealthy.replication_lag`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawNeeds {
    /// A request header that means the same as `x-meridian-needs`. Its value is `fresh`. Default: none.
    pub header: Option<String>,
}

/// Batch requests: requests that can wait. They leave a loaded region before other requests do, and get 429 where no region has
/// room. Requests with the header `x-meridian-tier: batch` are batch requests as well.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawBatch {
    /// API keys whose requests are batch requests, as SHA-256 in hex: `printf %s KEY | sha256sum`. Compared with the request headers
    /// `authorization: Bearer`, `x-api-key` and `api-key`. Default: none.
    #[serde(default)]
    pub keys: Vec<String>,
}

/// How far failover goes. Each further region costs every gateway a cluster, its health checks and a chain per model.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawFailover {
    /// The most regions that a request is tried in, 1 or more: the first one and the nearest others. The fallbacks follow.
    /// Default: `4`.
    pub regions: Option<u32>,
}

/// When a region sends part of its callers to other regions. The utilization of a pool is the largest of three ratios: KV cache in use;
/// running requests divided by `max_running`; mean queue wait divided by `queue_wait`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawOverflow {
    /// Utilization (0 to 1) above which a region sheds load. Default: `0.80`.
    pub above: Option<f64>,
    /// Utilization (0 to 1) below which a region takes its callers back. Default: `above` minus 0.10, which is `0.70`.
    pub back_below: Option<f64>,
    /// The smallest part of its callers (0 to 1) that a region keeps while it sheds. Default: `0.10`.
    pub floor: Option<f64>,
    /// The mean queue wait that counts as a utilization of 1. Default: `5s`.
    pub queue_wait: Option<String>,
    /// `true`: GPU engine activity (`DCGM_FI_PROF_GR_ENGINE_ACTIVE`) counts as utilization too. Default: `false`, it is only shown.
    #[serde(default)]
    pub gpu: bool,
    /// The most regions among which a gateway chooses for what its first region sheds, 1 or more: the nearest. Regions with
    /// `weights` count in any case. Default: `8`.
    pub regions: Option<u32>,
}

/// When a pool counts as soft-unhealthy: other regions are asked first, as far as they have room. The last region of a zone is never
/// left for such a reason.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawUnhealthy {
    /// More requests than this are waiting in the pool's queues. Default: `100`.
    pub queue_depth: Option<u32>,
    /// The 95th percentile of the time to first token is above this. Default: `3s`.
    pub first_token_p95: Option<String>,
    /// More than this part (0 to 1) of the answers are failures. Default: `0.01`.
    pub error_rate: Option<f64>,
    /// The region's data store is behind its primary by more than this. Default: `30s`.
    pub replication_lag: Option<String>,
    /// A signal that is older than this counts as unknown. Every source must be read at least twice in this time. Default: `10s`.
    pub signal_ttl: Option<String>,
}

/// Time and size limits of requests. Durations are written as `500ms`, `10s` or `5m`, sizes as `512KiB` or `64MiB`. The default of a
/// limit that is left out is shortened where the given limits require it: no part may be longer than `answer`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = with_old_names)]
pub struct RawLimits {
    /// Time until a connection to a server is established. Default: `1s`.
    pub connect: Option<String>,
    /// Time until the first content of a streamed answer, plus the time for the prompt (`prefill_rate`). Past it the next member of the
    /// chain is asked as well, and the first to answer wins. Default: `10s`.
    pub first_token: Option<String>,
    /// The same for an answer that is not streamed: time until it is complete. Set it above your longest usual answer. A gateway that
    /// has seen whole answers of the model asks the next member earlier, after twice the longest one lately, but not before
    /// `first_token`. Default: `120s`.
    pub unstreamed: Option<String>,
    /// Prompt tokens that a busy server reads per second. `first_token` and `unstreamed` grow by the time that the prompt takes at this
    /// rate, with 4 bytes of the request per token, up to half of `answer`. Default: `2000`.
    pub prefill_rate: Option<u32>,
    /// The longest silence between two pieces of a streamed answer, from its first content on. Past it the stream is ended. Default:
    /// `60s`.
    #[serde(alias = "gap")]
    pub stream_idle_timeout: Option<String>,
    /// Bytes per second that an answer brings at least, averaged over `stream_idle_timeout`: a stream from its first content on, any
    /// other answer from its first byte on. A slower one is ended; if its caller has nothing of it yet, the next member is asked. A token
    /// of a stream is about 200 bytes. `0`: no limit. Default: `20`.
    pub least_rate: Option<u32>,
    /// Time for the whole answer. Default: `600s`.
    pub answer: Option<String>,
    /// The number of requests of one zone and model at one gateway that may be in a retry at the same time. Past it, a failure goes to
    /// the caller, and a slow request goes on waiting. Set it above the number of requests in flight, since all of them are retried
    /// at once when a region dies. Default: `10000`.
    pub retries: Option<u32>,
    /// Largest request body, `1KiB` to `1GiB`. Default: `64MiB`.
    pub body: Option<String>,
}

/// Adds the names that fields had before, which are still read.
fn with_old_names(limits: &mut Schema) {
    let properties = limits.get_mut("properties").and_then(Value::as_object_mut);
    if let Some(properties) = properties {
        let gap = json!({
            "description": "The old name of `stream_idle_timeout`, which is still read.",
            "deprecated": true,
            "type": ["string", "null"],
        });
        properties.insert("gap".into(), gap);
    }
}

/// How a gateway's Envoy runs the filter.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawFilterKind {
    /// As a Wasm plugin, in a sandbox: a fault ends the requests of one worker. One file for every machine.
    #[default]
    Wasm,
    /// As a dynamic module, in Envoy's own process: it costs less, and a fault of its memory ends Envoy. One file for each architecture.
    Native,
}

/// Settings that are the same on every gateway.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGateways {
    /// SPIFFE trust domain of the certificates. Default: `meridian`.
    pub trust_domain: Option<String>,
    /// How every gateway runs the filter, unless its region says it. Default: `wasm`.
    #[serde(default)]
    pub filter: RawFilterKind,
    /// Path of the filter as a Wasm plugin on every gateway. Give a new version a new path: Envoy then loads it without a restart.
    /// Default: `/etc/meridian/meridian_filter.wasm`.
    pub wasm: Option<String>,
    /// Path of the filter as a dynamic module on every gateway, for `filter: native`. Give a new version a new path. Default:
    /// `/etc/meridian/libmeridian_filter_native.so`.
    pub native: Option<String>,
    /// Heap that one Envoy may use, e.g. three quarters of its container's memory: bodies are buffered whole. A worker holds bodies of
    /// up to a quarter of it, and refuses more of them. Near this limit Envoy resets the largest requests, then refuses new ones. At least
    /// four times `policy.limits.body`. Default: `4GiB`.
    pub heap: Option<String>,
    /// File to which Envoy writes its access log, JSON lines. Default: `/dev/stdout`.
    pub access_log: Option<String>,
}

/// The control plane as the gateways reach it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawControlPlane {
    /// IP address or DNS name that the gateways connect to. With [replicas](operations.md#replicas) a list, one of each.
    pub address: RawAddresses,
    /// Port that the gateways connect to. Default: `18000`.
    pub port: Option<u16>,
    /// Address on which the control plane listens for the gateways, `ip:port`. Default: `0.0.0.0:<port>`, or `<address>:<port>` if
    /// `address` is on loopback.
    pub listen: Option<String>,
    /// The control plane's certificate and key, and the CA of the gateways. Default: `control-plane.crt`, `control-plane.key` and
    /// `ca.crt` in `/etc/meridian/tls`.
    pub tls: Option<RawControlPlaneTls>,
    /// `true`: no TLS. Only for a control plane on loopback. Default: `false`.
    #[serde(default)]
    pub plaintext: bool,
    /// Address of the HTTP server for `meridian status`, `/metrics` and `/healthz`, `ip:port`. Default: `127.0.0.1:18001`.
    pub status: Option<String>,
    /// The [admin API](operations.md#the-admin-api) for other machines. Default: it serves the control plane's own machine alone, at
    /// `status`.
    pub api: Option<RawAdminApi>,
    /// How long a gateway follows the last plan without news from the control plane; past it, requests go to the home region first.
    /// Renewed after a third of it. At least `3s`. Default: `60s`.
    pub lease: Option<String>,
}

/// The admin API for other machines, over TLS. A caller has a token or a client certificate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawAdminApi {
    /// Address on which the control plane listens for operators, `ip:port`, e.g. `0.0.0.0:18002`.
    pub listen: String,
    /// The certificate of this address, and the CA of operators' certificates.
    pub tls: RawAdminTls,
    /// File of [the operators](operations.md#the-admin-api) with their roles, an absolute path. It is read again when it changes.
    pub operators: String,
}

/// Certificate files on the control plane's machine, absolute paths, PEM. They are read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawAdminTls {
    /// CA that signed the certificates of operators. It may be several. Default: operators have tokens alone.
    pub ca: Option<String>,
    /// Certificate of the address that operators connect to.
    pub certificate: String,
    /// Private key of `certificate`.
    pub key: String,
}

/// One address, or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "an address belongs here, or a list of addresses"
)]
pub enum RawAddresses {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl RawAddresses {
    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(address) => std::slice::from_ref(address),
            Self::Several(addresses) => addresses,
        }
    }
}

/// Certificate files on the control plane's machine, absolute paths, PEM. They are read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawControlPlaneTls {
    /// CA that signed the certificates of all gateways. It may be several, to [roll it over](operations.md#certificates).
    pub ca: String,
    /// Certificate of the control plane, with the URI SAN `spiffe://<trust_domain>/control-plane`.
    pub certificate: String,
    /// Private key of `certificate`.
    pub key: String,
}
