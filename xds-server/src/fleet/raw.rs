//! The fleet file as it is written. Nothing is checked here beyond the types; unknown fields are refused.
//!
//! The docs of these fields are the docs of the file: `meridian schema` prints them.

mod model;
mod signal;
mod vector_db;

pub use model::{RawBalance, RawModel, RawOwnLimits};
pub use signal::{RawFigures, RawMetric, RawSignal, RawSourceTls};
pub use vector_db::{RawRole, RawVectorDb};

use meridian_policy::fleet::Gives;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// A fleet of inference regions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Meridian fleet file")]
pub struct RawFleet {
    /// Residency zones: who belongs to each, and where its requests may go.
    pub zones: BTreeMap<String, RawZone>,
    /// The zone of callers that no source places, or `refuse` (403). Default: the pinned zone, where there is just one.
    pub unknown_zone: Option<String>,
    /// Where a caller's zone is read from, the most telling first. A pinned answer from any source beats an unpinned one.
    #[serde(default)]
    pub classify: Vec<RawSource>,
    /// Locations with a gateway and pools.
    pub regions: BTreeMap<String, RawRegion>,
    /// Hosted providers that take a request when no region can.
    #[serde(default)]
    pub fallbacks: BTreeMap<String, RawFallback>,
    /// What models have of their own, by the name that callers use.
    #[serde(default)]
    pub models: BTreeMap<String, RawModel>,
    /// Fleet-wide policy.
    #[serde(default)]
    pub policy: RawPolicy,
    /// What is the same on every gateway.
    #[serde(default)]
    pub gateways: RawGateways,
    /// The control plane that the gateways ask: `meridian serve`. Without one, `meridian export` gives static
    /// configurations.
    pub control_plane: Option<RawControlPlane>,
}

/// A residency zone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawZone {
    /// ISO 3166-1 alpha-2 codes and presets: `preset:eea`, `preset:uk`, `preset:ch`, or `preset:rest` for every
    /// country that no zone names. Empty where only a header names the zone.
    #[serde(default)]
    pub countries: Vec<String>,
    /// Whether its requests never leave its regions and fallbacks.
    #[serde(default)]
    pub pinned: bool,
    /// Regions that it may use.
    pub regions: Vec<String>,
    /// Fallbacks that it may use, the first choice first.
    #[serde(default)]
    pub fallbacks: Vec<String>,
    /// Jurisdictions of fallbacks that a pinned zone accepts. Default: the zone's own name.
    pub jurisdictions: Option<Vec<String>>,
    /// What a gateway outside a pinned zone does with its callers. Default: `refuse`.
    pub misdirected: Option<RawMisdirected>,
    /// Regions that are asked first, in this order, whichever gateway a caller reaches (active-passive). Default: the gateway's own,
    /// then the nearest (active-active).
    pub order: Option<Vec<String>>,
    /// A fixed part of the requests to each region, at every gateway; regions without one get nothing while others serve.
    pub weights: Option<BTreeMap<String, u32>>,
    /// Limits in place of those under `policy.limits`.
    #[serde(default)]
    pub limits: RawOwnLimits,
}

/// What a gateway outside a pinned zone does with its callers.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawMisdirected {
    /// 421 that names the right gateways.
    Refuse,
    /// 307 to the nearest right gateway, by its `public.url`.
    Redirect,
    /// Sent on to a gateway in the zone: the request passes through the wrong one.
    Forward,
}

/// A header that tells a caller's zone or country.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSource {
    /// The header's name.
    pub header: String,
    /// What its value is: `zone` or `country`.
    #[schemars(with = "RawGives")]
    pub gives: Gives,
    /// Who may send it; from anyone else it is removed.
    pub trust: RawTrust,
}

/// What a header's value is.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(dead_code)] // The schema of `Gives`, which the policy crate owns.
enum RawGives {
    /// A zone's name.
    Zone,
    /// An ISO 3166-1 alpha-2 code.
    Country,
}

/// Whose headers are believed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTrust {
    /// Networks of the edge, e.g. `10.0.0.0/8`: the connection's own source, never a forwarded address.
    pub cidr: Vec<String>,
}

/// One location with a gateway and pools.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRegion {
    /// How the other gateways reach this one.
    pub gateway: RawGateway,
    /// How callers reach this gateway.
    #[serde(default)]
    pub public: RawPublic,
    /// Address of Envoy's admin interface; loopback only. Default: `127.0.0.1:9901`.
    pub admin: Option<String>,
    /// Where it is: what `round_trips` does not say is taken from the distance.
    pub location: Option<RawLocation>,
    /// How long it takes to other regions and back, e.g. `us-east-1: 62ms`. What one of two regions says counts for both.
    #[serde(default)]
    pub round_trips: BTreeMap<String, String>,
    /// The other regions, the nearest first. Those left out follow by their `round_trips`, and those of which nobody knows in the order
    /// of their names.
    #[serde(default)]
    pub nearest: Vec<String>,
    /// The pool of each model deployed here, by the name that callers use.
    #[serde(default)]
    pub pools: BTreeMap<String, RawPool>,
    /// Where the control plane learns how the region is. A region without any is asked as if it always had room.
    #[serde(default)]
    pub signals: Vec<RawSignal>,
    /// What serving costs here, over the other regions: any unit that all share. Batch goes where it is lowest. Default: all the same.
    pub price: Option<f64>,
    /// Its vector database.
    pub vector_db: Option<RawVectorDb>,
}

/// A place on the Earth, in degrees; a tenth is near enough.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawLocation {
    /// North of the equator, -90 to 90.
    pub latitude: f64,
    /// East of Greenwich, -180 to 180.
    pub longitude: f64,
}

/// How the other gateways reach this one, over mTLS.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGateway {
    /// IP address or DNS name that they connect to.
    pub address: String,
    /// Port that they connect to.
    pub port: u16,
    /// Where the listener binds. Default: `0.0.0.0:<port>`.
    pub listen: Option<String>,
    /// Envoys that the region runs at most, which share its part of the fallbacks' budgets. Default: 1.
    pub replicas: Option<u32>,
    /// This gateway's certificate and the authority of all gateways. Default: `/etc/meridian/tls/{gateway.crt,gateway.key,ca.crt}`.
    pub tls: Option<RawGatewayTls>,
}

/// Paths on the gateway, PEM.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGatewayTls {
    /// Authority that signed every gateway's certificate.
    pub ca: String,
    /// Certificate with the URI SAN `spiffe://<trust_domain>/region/<region>`.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// How callers reach a gateway.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPublic {
    /// Where the listener binds. Default: `0.0.0.0:8080`.
    pub listen: Option<String>,
    /// How callers name this gateway, e.g. `https://us-west-2.llm.example.com`.
    pub url: Option<String>,
    /// Its certificate; plain HTTP without one.
    pub tls: Option<RawKeyPair>,
}

/// Paths on the gateway, PEM.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawKeyPair {
    /// Certificate chain.
    pub certificate: String,
    /// Private key.
    pub key: String,
}

/// The inference servers of one model in one region: `endpoints` or `dns`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPool {
    /// Addresses, `ip:port`.
    pub endpoints: Option<Vec<String>>,
    /// A name that resolves to all of them, `name:port`.
    pub dns: Option<String>,
    /// Tokens of the longest prompt: vLLM's `--max-model-len`. A prompt that is too long for one pool goes on to a pool or
    /// fallback later in the chain that says a larger one; without it the refusal is final.
    pub context: Option<u32>,
    /// The path that answers 200 while a server serves. Default: `/health`; Triton's OpenAI frontend has `/health/ready`.
    pub health: Option<String>,
}

/// A hosted provider.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawFallback {
    /// Which API it speaks.
    pub provider: RawProvider,
    /// Its base URL as its clients are given it, e.g. `https://api.example.com/v1`. `anthropic`, `vertex` and `bedrock` have one
    /// of their own.
    pub url: Option<String>,
    /// The provider's name of the Claude that answers, e.g. `claude-sonnet-5`. Not for `openai-compatible`, which is asked for the
    /// model by the caller's name for it.
    pub model: Option<String>,
    /// Tokens of an answer to a request that does not say how many, 4096 by default. Not for `openai-compatible`.
    pub max_tokens: Option<u32>,
    /// Google Cloud's project. For `vertex`.
    pub project: Option<String>,
    /// Google Cloud's location, e.g. `europe-west1` or `eu`, or AWS's region, e.g. `eu-central-1`. For `vertex` and `bedrock`.
    pub location: Option<String>,
    /// All AWS regions that the inference profile sends requests to. For `bedrock`, where the model is one, as
    /// `eu.anthropic.claude-sonnet-5` is.
    #[serde(default)]
    pub destinations: Vec<String>,
    /// Where it may process a request, e.g. `[eea]`; `global` means anywhere.
    pub jurisdiction: Vec<String>,
    /// Our key: `{ env: NAME }`, `{ file: PATH }` or `{ sds: PATH }`, read by Envoy.
    pub api_key: RawSecret,
    /// Tokens of the longest prompt, for whatever model it is asked; compared with that of the pools.
    pub context: Option<u32>,
    /// What it may cost. Past it callers get 503 with `Retry-After`.
    #[serde(default)]
    pub budget: RawBudget,
    /// What it costs. Not for `openai-compatible`.
    pub price: Option<RawPrice>,
}

/// What all gateways together may spend with a fallback. Each has an equal part of it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawBudget {
    /// Requests in any minute.
    pub max_requests_per_minute: Option<u64>,
    /// Dollars in any hour, by `price` and the tokens that answers tell of. A request that is under way counts with the most that
    /// it can cost.
    pub max_usd_per_hour: Option<f64>,
}

/// Prices, in dollars for a million tokens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPrice {
    /// Of prompts.
    pub input: f64,
    /// Of answers.
    pub output: f64,
    /// Of prompts, read from a cache. Default: `input`.
    pub cache_read: Option<f64>,
    /// Of prompts, written to a cache. Default: twice `input`.
    pub cache_write: Option<f64>,
}

/// Which API a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RawProvider {
    /// OpenAI's; it is asked for the model by the caller's name for it.
    OpenaiCompatible,
    /// Anthropic's own API: Chat Completions are translated, `/v1/messages` goes on as it is. It runs in the US or anywhere.
    Anthropic,
    /// Claude on Google's Vertex AI, in a location; the same translation.
    Vertex,
    /// Claude on Amazon Bedrock, in an AWS region or an inference profile of several; the same translation.
    Bedrock,
}

/// Where a gateway finds a secret: `env`, `file` or `sds`.
#[derive(Debug, Default, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSecret {
    /// An environment variable of the Envoy process.
    pub env: Option<String>,
    /// A file on the gateway.
    pub file: Option<String>,
    /// A file on the gateway that holds it as an SDS resource of Envoy's; moving another over it changes it at once.
    pub sds: Option<String>,
}

/// What stands here by mistake may be the secret itself, a field's name included. The reader's errors would repeat it,
/// so anything goes here, and all that is not of the right form is nothing, which the check refuses.
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

/// Fleet-wide policy.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPolicy {
    /// Time and size limits.
    #[serde(default)]
    pub limits: RawLimits,
    /// When a region sheds load.
    #[serde(default)]
    pub overflow: RawOverflow,
    /// When a region counts as unhealthy.
    #[serde(default)]
    pub unhealthy: RawUnhealthy,
    /// Requests that can wait.
    #[serde(default)]
    pub batch: RawBatch,
    /// Requests that need fresh data.
    #[serde(default)]
    pub needs: RawNeeds,
}

/// Requests that need fresh data: they go to a region whose data store is not behind.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawNeeds {
    /// Another header that says so, besides `x-meridian-needs`; its value is `fresh`.
    pub header: Option<String>,
}

/// Requests that can wait: they leave a region before others do, and are refused with 429 where no region has room. So are those that
/// say `x-meridian-tier: batch`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawBatch {
    /// API keys (`authorization: Bearer`, `x-api-key`, `api-key`) whose requests are batch, as SHA-256 in hex: `printf %s KEY | sha256sum`.
    #[serde(default)]
    pub keys: Vec<String>,
}

/// When a region sheds load. The utilization of a pool is the highest of: KV-cache in use, running requests of those it
/// can run, queue wait of `queue_wait`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawOverflow {
    /// Utilization above which a region sheds what brings it back under. Default: `0.80`.
    pub above: Option<f64>,
    /// Utilization below which it takes its callers back. Default: `0.70`.
    pub back_below: Option<f64>,
    /// The part of its callers that a region keeps whatever happens. Default: `0.10`.
    pub floor: Option<f64>,
    /// A queue wait of this long is a utilization of 1. Default: `5s`.
    pub queue_wait: Option<String>,
    /// Whether GPU engine activity (`DCGM_FI_PROF_GR_ENGINE_ACTIVE`) is utilization as well. Default: `false`.
    #[serde(default)]
    pub gpu: bool,
}

/// When a region is soft-unhealthy: the others are asked first, as far as they have room. A zone's last region never is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawUnhealthy {
    /// More requests than this wait in a pool. Default: `100`.
    pub queue_depth: Option<u32>,
    /// The 95th percentile of the time to the first token is above this. Default: `3s`.
    pub first_token_p95: Option<String>,
    /// More than this part of the answers are failures. Default: `0.01`.
    pub error_rate: Option<f64>,
    /// The data store is behind its primary by more than this. Default: `30s`.
    pub replication_lag: Option<String>,
    /// A signal that is older says nothing. Default: `10s`.
    pub signal_ttl: Option<String>,
}

/// Time and size limits. A limit that is left out is never longer than the ones that are given allow.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawLimits {
    /// Until a connection stands. Default: `1s`.
    pub connect: Option<String>,
    /// Until the first content of a streamed answer, besides what the prompt takes; past it the next region is asked as well, and the
    /// first to answer wins. Default: `10s`.
    pub first_token: Option<String>,
    /// The same for an answer that is not streamed, which is silent until it is whole. Default: `120s`.
    pub unstreamed: Option<String>,
    /// Tokens of a prompt that a busy server reads in a second: `first_token` and `unstreamed` are longer by what the prompt
    /// takes, four bytes of the request a token, up to half of `answer`. Default: `2000`.
    pub prefill_rate: Option<u32>,
    /// Between two pieces of a streamed answer. Default: `60s`.
    pub gap: Option<String>,
    /// For a whole answer. Default: `600s`.
    pub answer: Option<String>,
    /// Requests of one zone and model, at one gateway, that may be on their way to another member of the chain at a time. Past it
    /// a failure goes to the caller, and one who waits long goes on waiting: above all requests that are under way when a
    /// region dies. Default: `10000`.
    pub retries: Option<u32>,
    /// Largest request body. Default: `64MiB`.
    pub body: Option<String>,
}

/// What is the same on every gateway.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGateways {
    /// SPIFFE trust domain of their certificates. Default: `meridian`.
    pub trust_domain: Option<String>,
    /// Where the filter lies. Default: `/etc/meridian/meridian_filter.wasm`.
    pub filter: Option<String>,
    /// Memory that one Envoy may use, e.g. what its container has less a quarter. Near it the largest requests are
    /// reset, then new ones are refused. Default: `4GiB`.
    pub heap: Option<String>,
    /// Where the access log goes. Default: `/dev/stdout`.
    pub access_log: Option<String>,
}

/// The control plane.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawControlPlane {
    /// IP address or DNS name that the gateways connect to.
    pub address: String,
    /// Port that they connect to. Default: `18000`.
    pub port: Option<u16>,
    /// Where it listens for them. Default: `0.0.0.0:<port>`; the address itself if that is on loopback.
    pub listen: Option<String>,
    /// Its certificate and the authority of the gateways' ones, paths where it runs. Default:
    /// `/etc/meridian/tls/{control-plane.crt,control-plane.key,ca.crt}`.
    pub tls: Option<RawControlPlaneTls>,
    /// Without TLS: for a control plane on loopback only. Default: `false`.
    #[serde(default)]
    pub plaintext: bool,
    /// Where it answers `meridian status`, `/metrics` and `/healthz`. Default: `127.0.0.1:18001`.
    pub status: Option<String>,
    /// How long a gateway acts on what it was told while it hears nothing new; past it, home first. Renewed after a
    /// third of it. Default: `60s`.
    pub lease: Option<String>,
}

/// Paths on the control plane's machine, PEM.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawControlPlaneTls {
    /// Authority that signed every gateway's certificate.
    pub ca: String,
    /// Certificate with the URI SAN `spiffe://<trust_domain>/control-plane`.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}
