use serde::{Deserialize, Serialize};

/// What a fake stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pool of one region, shaped like vLLM's server.
    Pool {
        /// Served model names; the first one labels the metrics, any other name is answered 404.
        models: Vec<String>,
    },
    /// A hosted API compatible with OpenAI's; it serves any model.
    Provider {
        /// Requests must carry `authorization: Bearer <api_key>`.
        api_key: String,
    },
    /// Anthropic's API, with one model.
    Anthropic {
        /// Requests must carry `x-api-key: <api_key>`.
        api_key: String,
        /// The model.
        model: String,
    },
    /// Claude on Google's Vertex AI, with one model.
    Vertex {
        /// Requests must carry `authorization: Bearer <token>`.
        token: String,
        /// What stands before the model's method: `/v1/projects/.../models/<model>`.
        path: String,
        /// The model.
        model: String,
    },
    /// Claude on Amazon Bedrock, with one model.
    Bedrock {
        /// Requests must carry `authorization: Bearer <api_key>`.
        api_key: String,
        /// The model, or the inference profile.
        model: String,
    },
}

/// How inference requests fail. Probes (`/health`, `/metrics`, `/load`, `/ping`) and `/v1/models` never fail this way.
///
/// In JSON: `"none"`, `{"status":503}`, `"reset"`, `"hang"`, `{"cut":3}`, `{"error_event":2}`, `"abort"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fail {
    /// Requests are answered.
    #[default]
    None,
    /// An error with this HTTP status, in the server's own error shape.
    Status(u16),
    /// The request is read, then the connection ends with RST before any byte of an answer.
    Reset,
    /// The request is read and never answered.
    Hang,
    /// A stream ends with RST after this many tokens; an answer in one piece after half of its announced length.
    Cut(usize),
    /// A stream says 200 and, after this many tokens, an error event and its usual end; an answer in one piece is a 503.
    ErrorEvent(usize),
    /// What vLLM does on SIGTERM: 200 and `finish_reason: "abort"` without text; a stream is empty but well ended.
    Abort,
}

/// An answer as it once came, byte by byte, head and all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// What is written, and in which pieces.
    pub pieces: Vec<Vec<u8>>,
    /// The connection stays open afterwards, and silent.
    pub stalls: bool,
}

/// What `/metrics` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metrics {
    /// What is.
    #[default]
    True,
    /// Nothing, with status 500.
    Broken,
    /// Nothing, ever.
    Silent,
    /// Values that cannot be: not a number, negative, huge.
    Lies,
}

/// How a fake behaves from now on. Streams that already run keep what they started with, except for `gated`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// How inference requests fail.
    pub fail: Fail,
    /// Every inference request is answered with this.
    pub replay: Option<Replay>,
    /// `Retry-After` in seconds, sent with [`Fail::Status`].
    pub retry_after: Option<u32>,
    /// Status of `/health` and `/ping` if not 200. Independent of `fail`: a draining vLLM answers 500 to chats and 200 here.
    pub fail_health: Option<u16>,
    /// `/health` and `/ping` are never answered.
    pub hang_health: bool,
    /// Where Claude says that it answered, if it is to say something else than what is true.
    pub inference_geo: Option<String>,
    /// Requests that are worked on at once; others wait for one to end, first come first served. 0: any number.
    pub seats: usize,
    /// Milliseconds until the first token.
    pub first_token_ms: u64,
    /// Milliseconds between two tokens, or between two pieces of a replay.
    pub token_ms: u64,
    /// Tokens of an answer; a lower `max_tokens` of the request wins.
    pub tokens: usize,
    /// Streams write their first token and then one for each token given by [`release`](super::Fake::release).
    pub gated: bool,
    /// How `/metrics` fails.
    pub metrics: Metrics,
    /// Running requests shown on `/metrics`, on top of those that really run.
    pub running: u32,
    /// Queued requests shown on `/metrics`.
    pub waiting: u32,
    /// Ratio 0 to 1 shown on `/metrics`.
    pub kv_cache_usage: f64,
    /// Percent, 0 to 100, shown on `/metrics`.
    pub gpu_utilization: f64,
    /// Seconds shown on `/metrics`.
    pub replication_lag_seconds: f64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            fail: Fail::None,
            replay: None,
            retry_after: None,
            fail_health: None,
            hang_health: false,
            inference_geo: None,
            seats: 0,
            first_token_ms: 0,
            token_ms: 0,
            tokens: 8,
            gated: false,
            metrics: Metrics::True,
            running: 0,
            waiting: 0,
            kv_cache_usage: 0.0,
            gpu_utilization: 0.0,
            replication_lag_seconds: 0.0,
        }
    }
}
