//! The scenarios: each shows one promise of Meridian on real Envoys. The evidence is the requests that the fakes recorded.
//! `scripts/demo --once` runs them, and so do the tests.

mod batch;
mod claude;
mod client;
mod config;
mod control_plane;
mod counted;
mod exhausted;
mod failover;
mod fresh;
mod gdpr;
mod guard;
mod hostile;
mod limits;
mod load;
mod misdirected;
mod models;
mod nearest;
mod overflow;
mod peer;
mod pressure;
mod pushed;
mod queries;
mod replay;
mod retries;
mod retrieval;
mod servers;
mod signals;
mod streaming;

use crate::world::{Answer, Ask, Configured, Options, World};
use anyhow::{Result, bail};
use meridian_policy::claude::Host;
use std::pin::Pin;

/// One promise, and how it is shown.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// The fleet that it is shown on.
    pub options: Options,
    show: for<'w> fn(&'w mut World) -> Show<'w>,
}

/// The work of a scenario; the text says what was seen.
type Show<'w> = Pin<Box<dyn Future<Output = Result<String>> + Send + 'w>>;

impl Scenario {
    /// Starts the scenario's fleet and shows the promise on it.
    pub async fn run(&self) -> Result<String> {
        let mut world = World::start(&self.options).await?;
        (self.show)(&mut world).await
    }
}

/// Scenarios by name: `name: function, options`.
macro_rules! scenarios {
    ($($name:literal: $show:path, $options:expr;)*) => {
        /// Every scenario, in order.
        pub fn scenarios() -> Vec<Scenario> {
            vec![$(Scenario { name: $name, options: $options, show: |world| Box::pin($show(world)) }),*]
        }
    };
}

scenarios! {
    "nearest": nearest::nearest, Options::default();
    "failover-chain": failover::chain, Options::default();
    "failover-refused": failover::refused, Options::default();
    "failover-reset": failover::reset, Options::default();
    "failover-503": failover::unavailable, Options::default();
    "failover-500": failover::broken, Options::default();
    "failover-hang": failover::hang, Options { limits: QUICK, ..Options::default() };
    "failover-gateway": failover::gateway, Options::default();
    "failover-sibling": failover::sibling, Options { fallbacks: false, sibling: true, ..Options::default() };
    "failover-poison": failover::poison, Options::default();
    "guard-hidden": guard::hidden, Options { limits: guard::LIMITS, policy: guard::AT_HOME, ..Options::default() };
    "guard-late": guard::late, Options { limits: guard::LIMITS, policy: guard::AT_HOME, ..Options::default() };
    "guard-whole": guard::whole, Options { limits: guard::LIMITS, policy: guard::AT_HOME, ..Options::default() };
    "guard-client": guard::client, Options { limits: guard::LIMITS, ..Options::default() };
    "guard-context": guard::context, Options { limits: guard::LIMITS, policy: guard::AT_HOME, ..Options::default() };
    "guard-nowhere": guard::nowhere, Options { fallbacks: false, ..Options::default() };
    "guard-flapping": failover::flapping, Options::default();
    "gdpr-failing": gdpr::failing, Options { limits: QUICK, ..Options::default() };
    "gdpr-no-fallback": gdpr::no_fallback, Options { fallbacks: false, ..Options::default() };
    "gdpr-forged": gdpr::forged, Options::default();
    "gdpr-refuse": misdirected::refuse, Options::default();
    "gdpr-redirect": misdirected::redirect, Options { misdirected: "redirect", ..Options::default() };
    "gdpr-forward": misdirected::forward, Options { misdirected: "forward", ..Options::default() };
    "peer": peer::peer, Options::default();
    "exhausted": exhausted::exhausted, Options::default();
    "fallback-fails": exhausted::fallback_fails, Options::default();
    "claude-clients": claude::clients, Options { claude: Some(Host::Vertex), ..Options::default() };
    "claude-once": claude::once, Options { limits: QUICK, claude: Some(Host::Vertex), ..Options::default() };
    "claude-keys": claude::keys, Options { claude: Some(Host::Vertex), ..Options::default() };
    "claude-midway": claude::midway, Options { claude: Some(Host::Vertex), ..Options::default() };
    "claude-bedrock": claude::bedrock, Options { claude: Some(Host::Bedrock), ..Options::default() };
    "claude-bedrock-midway": claude::midway, Options { claude: Some(Host::Bedrock), ..Options::default() };
    "claude-geo": claude::geo, Options { claude: Some(Host::Vertex), ..Options::default() };
    "claude-budget": claude::budget, Options { claude: Some(Host::Bedrock), fallback: claude::BUDGET, ..Options::default() };
    "claude-away": claude::away, Options { claude: Some(Host::Vertex), ..Options::default() };
    "models": models::models, Options::default();
    "large-bodies": models::large_bodies, Options { limits: SLOW, ..Options::default() };
    "bad-requests": models::bad_requests, Options::default();
    "streaming": streaming::streaming, Options::default();
    "limits": limits::limits, Options { limits: limits::LIMITS, ..Options::default() };
    "limits-fallback": limits::fallback, Options { limits: QUICK, claude: Some(Host::Vertex), ..Options::default() };
    "limits-prompt": limits::prompt, Options { limits: QUICK, ..Options::default() };
    "retries-crowd": retries::crowd, Options { limits: SLOW, ..Options::default() };
    "retries-slow": retries::slow, Options { limits: retries::FEW, ..Options::default() };
    "retry-after": retries::after, Options { fallbacks: false, ..Options::default() };
    "hostile": hostile::hostile, Options::default();
    "tls": nearest::tls, Options { tls: true, ..Options::default() };
    "client": client::client, Options::default();
    "by-file": nearest::nearest, Options { configured: Configured::ByFile, ..Options::default() };
    "overflow": overflow::overflow, Options::default();
    "overflow-sotw": overflow::overflow, Options { configured: Configured::BySotw, ..Options::default() };
    "overflow-eu": overflow::eu, Options::default();
    "overflow-noise": overflow::noise, Options::default();
    "affinity": overflow::affinity, Options::default();
    "fast-path": overflow::fast_path, Options::default();
    "servers": servers::by_load, Options { limits: SLOW, sibling: true, ..Options::default() };
    "servers-affinity": servers::by_conversation, Options { sibling: true, ..Options::default() };
    "pressure": pressure::pressure_at_home, Options { limits: SLOW, ..Options::default() };
    "signal-queue-lag": signals::queue_and_lag, Options::default();
    "signal-errors": signals::errors, Options::default();
    "signal-first-token": signals::first_token, Options { limits: SLOW, ..Options::default() };
    "signal-sources": signals::sources, Options { policy: SHORT_TTL, ..Options::default() };
    "signal-prometheus": queries::prometheus, Options { policy: SHORT_TTL, ..Options::default() };
    "signal-pushed": pushed::pushed, Options { policy: SHORT_TTL, ..Options::default() };
    "signal-counted": counted::counted_exactly, Options::default();
    "signal-down": signals::down, Options::default();
    "signal-stale": signals::stale, Options { policy: SHORT_TTL, ..Options::default() };
    "retrieval": retrieval::follows, Options { databases: true, ..Options::default() };
    "retrieval-sotw": retrieval::follows, Options { databases: true, configured: Configured::BySotw, ..Options::default() };
    "retrieval-eu": retrieval::eu, Options { databases: true, ..Options::default() };
    "retrieval-dead": retrieval::dead, Options { databases: true, ..Options::default() };
    "batch": batch::batch, Options::default();
    "order": batch::order, Options::default();
    "fresh": fresh::fresh, Options::default();
    "config-edits": config::edits, Options::default();
    "config-edits-sotw": config::edits, Options { configured: Configured::BySotw, ..Options::default() };
    "config-zones": config::zones, Options { misdirected: "forward", ..Options::default() };
    "config-zones-sotw": config::zones, Options { configured: Configured::BySotw, misdirected: "forward", ..Options::default() };
    "config-filter": config::filter, Options::default();
    "config-filter-sotw": config::filter, Options { configured: Configured::BySotw, ..Options::default() };
    "config-nack": config::nack, Options { lease: "6s", ..Options::default() };
    "config-nack-sotw": config::nack, Options { configured: Configured::BySotw, lease: "6s", ..Options::default() };
    "control-plane-restarts": control_plane::restarts, Options::default();
    "control-plane-restarts-sotw": control_plane::restarts, Options { configured: Configured::BySotw, ..Options::default() };
    "control-plane-hangs": control_plane::hangs, Options { lease: "6s", ..Options::default() };
    "gateways-restart": control_plane::gateways, Options::default();
}

/// Room for slow streams and large bodies.
const SLOW: &str =
    "{ first_token: 10s, unstreamed: 20s, connect: 1s, gap: 20s, answer: 30s, body: 64MiB }";

/// Who says nothing is left soon.
const QUICK: &str =
    "{ first_token: 1s, unstreamed: 1s, connect: 1s, gap: 20s, answer: 30s, body: 64MiB }";

/// Silence counts soon.
const SHORT_TTL: &str = "unhealthy: { signal_ttl: 2s }";

/// An error instead of a panic: the other scenarios go on.
fn ensure(condition: bool, otherwise: impl FnOnce() -> String) -> Result<()> {
    if condition {
        Ok(())
    } else {
        bail!(otherwise())
    }
}

/// The request is answered, by this region or `fallback/<name>`, and by nobody else: the recorded requests agree.
async fn answered_by(world: &World, ask: &Ask, by: &str) -> Result<Answer> {
    let answer = ask.send().await?;
    ensure(answer.status == 200, || {
        format!("status {}: {}", answer.status, answer.text())
    })?;
    ensure(answer.region() == by, || {
        let (region, decision) = (answer.region(), answer.header("x-meridian-decision"));
        format!("answered by `{region}`, not by {by}: {decision}")
    })?;
    let server = by.trim_start_matches("fallback/");
    let reached = world.reached(ask.marker());
    ensure(reached.last().map(String::as_str) == Some(server), || {
        format!("{by} has not recorded it: {reached:?}")
    })?;
    Ok(answer)
}

/// The request is refused with this status, and has reached nobody.
async fn refused(world: &World, ask: &Ask, status: u16, says: &str) -> Result<Answer> {
    let answer = ask.send().await?;
    let text = answer.text();
    ensure(answer.status == status, || {
        format!("status {} instead of {status}: {text}", answer.status)
    })?;
    ensure(text.contains(says), || {
        format!("`{says}` is not in: {text}")
    })?;
    let reached = world.reached(ask.marker());
    ensure(reached.is_empty(), || format!("it reached {reached:?}"))?;
    Ok(answer)
}
