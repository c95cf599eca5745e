//! The plugins, as state machines over the hooks of one stream. What a plugin does is its root id in Envoy's configuration:
//!
//! - `router`: decides where a request goes (see [`router`]).
//! - `guard`: sees every attempt's answer (see [`guard`]).
//! - `pool`: picks the server for requests that other gateways send (see [`pool`]).
//! - `egress`: what leaves for a hosted provider (see [`egress`]).
//!
//! Router, guard and pool share a VM, and so a [`Worker`]; egress has its own. So has `retrieval`, which is about TCP
//! connections and no streams (see [`Connections`](crate::worker::Connections)).

pub mod egress;
pub mod guard;
mod plugin;
pub mod pool;
pub mod router;

pub use plugin::Plugin;

use crate::answer::Answer;
use crate::host::{Host, Side};
use crate::refusal::{Reason, Refusal};
use crate::worker::{KEEP_EVERY, Worker, begin_spending, look_every};
use meridian_policy::api;
use meridian_policy::egress_policy::EgressPolicy;
use meridian_policy::guard_policy::GuardPolicy;
use meridian_policy::headers;
use meridian_policy::pool_policy::PoolPolicy;
use serde::de::DeserializeOwned;
use std::rc::Rc;
use std::time::Duration;

/// A plugin with its configuration.
pub enum Configured {
    /// Without a policy it refuses every request.
    Router(Option<Rc<router::Policy>>),
    /// The guard of a gateway's chains.
    Guard(Rc<GuardPolicy>),
    /// Without a policy all pools balance by load.
    Pool(Rc<PoolPolicy>),
    /// Without a policy nothing leaves.
    Egress(Option<Rc<EgressPolicy>>),
}

impl Configured {
    /// The plugin of a root id, by its configuration as JSON.
    ///
    /// # Errors
    /// There is no such plugin, or its configuration is not understood: then the one before stays in force.
    pub fn new(
        host: &dyn Host,
        worker: &mut Worker,
        root_id: &[u8],
        configuration: &[u8],
    ) -> Result<Self, String> {
        let is_empty = configuration.is_empty();
        Ok(match root_id {
            b"router" if is_empty => Self::Router(None),
            b"router" => {
                let policy = router::Policy::arrived(host, worker, policy(configuration)?);
                Self::Router(Some(Rc::new(policy)))
            }
            b"guard" => Self::Guard(Rc::new(policy(configuration)?)),
            b"pool" if is_empty => Self::Pool(Rc::default()),
            b"pool" => Self::Pool(Rc::new(policy(configuration)?)),
            b"egress" if is_empty => Self::Egress(None),
            b"egress" => {
                let policy: EgressPolicy = policy(configuration)?;
                begin_spending(host, &policy);
                Self::Egress(Some(Rc::new(policy)))
            }
            other => {
                return Err(format!(
                    "there is no root_id `{}`; use router, guard, pool, egress or retrieval",
                    String::from_utf8_lossy(other)
                ));
            }
        })
    }

    /// How often the worker is to [tick](Worker::tick) for this plugin; `None` if it needs no ticks.
    pub fn tick_period(&self) -> Option<Duration> {
        let Self::Guard(policy) = self else {
            return None;
        };
        let period = policy.stream_idle_timeout_ms.map_or(KEEP_EVERY, look_every);
        Some(period.min(KEEP_EVERY))
    }

    /// The plugin of a new stream. `stream`: its id, for [`Host::end_stream`].
    pub fn stream(&self, stream: u32) -> Box<dyn Plugin> {
        match self {
            Self::Router(policy) => Box::new(router::Request::new(stream, policy.clone())),
            Self::Guard(policy) => Box::new(guard::Guard::new(stream, policy.clone())),
            Self::Pool(policy) => Box::new(pool::Request::new(policy.clone())),
            Self::Egress(policy) => Box::new(egress::Request::new(policy.clone())),
        }
    }
}

/// A plugin has panicked: its request ends with an error, for a host that outlives it. `path`: the request's as it came, if the plugin may
/// have changed it.
pub fn failed(host: &dyn Host, worker: &mut Worker, root_id: &[u8], path: Option<&str>) {
    worker
        .metrics
        .panic(host, &String::from_utf8_lossy(root_id));
    let request = host.headers(Side::Request);
    let path = path.or_else(|| request.first(":path")).unwrap_or_default();
    let refusal = Refusal {
        reason: Reason::Broken,
        shape: api::shape(path, request.iter().map(|(name, _)| name)),
    };
    let Answer {
        status,
        headers,
        body,
    } = refusal.answer();
    host.set_header(Side::Request, headers::REFUSED, Some("1"));
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    host.reply(status, &headers, body.as_bytes());
}

fn policy<P: DeserializeOwned>(configuration: &[u8]) -> Result<P, String> {
    serde_json::from_slice(configuration)
        .map_err(|error| format!("the filter's policy is refused: {error}"))
}
