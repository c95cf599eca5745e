//! The scenarios: each shows one promise of Meridian on real Envoys. The evidence is the requests that the fakes recorded.
//! `scripts/demo --once` runs them, and so do the tests.

mod attempt_log;
mod batch;
mod bodies;
mod both_kinds;
mod certificates;
mod claude;
mod claude_large;
mod claude_tools;
mod client;
mod clocks;
mod config;
mod continues;
mod control_plane;
mod counted;
mod cut;
mod error_shapes;

mod exhausted;
mod explained;
mod failover;
mod filter;
mod fresh;
mod gateway_faults;
mod gdpr;
mod guard;
mod hostile;
mod limits;
mod load;
mod misdirected;
mod missing_model;
mod models;
mod native;
mod native_panics;
mod native_refused;
mod nearest;
mod operators;
mod overflow;
mod overload;
mod page;
mod peer;
mod pressure;
mod provider_fields;
mod providers;
mod pushed;
mod queries;
mod replay;
mod reported;
mod residency;
mod retries;
mod retrieval;
mod servers;
mod signals;
mod streaming;
mod trickle;

mod chains;
mod runner;

pub use native_panics::nothing_is_held;
pub use runner::{Outcome, lanes, run};

use crate::differential;
use crate::hunt;
use crate::kill_hunt;
use crate::replica_hunt;
use crate::residency_hunt;
use crate::world::{Answer, Ask, Configured, Options, World, wait_for};
use anyhow::{Result, bail};
use meridian_policy::egress_policy::ClaudeHost;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};

/// One promise, and how it is shown.
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    options: Options,
    needs: Needs,
    show: for<'w> fn(&'w mut World) -> Show<'w>,
}

/// The world that a scenario needs, besides its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// Any. It is healed afterwards, for the next scenario.
    Any,
    /// Any. What it changes cannot be healed, or not within a minute: the world ends with it.
    Last,
    /// A new one, because it counts from the start. The world ends with it.
    Fresh,
}

/// The work of a scenario; the text says what was seen.
type Show<'w> = Pin<Box<dyn Future<Output = Result<String>> + Send + 'w>>;

/// Scenarios by name: `name: function, what it needs, options`. Each is there once more with gateways that run the filter as a dynamic
/// module: `native/name`.
macro_rules! scenarios {
    ($($name:literal: $show:path, $needs:ident, $options:expr;)*) => {
        fn all() -> Vec<Scenario> {
            vec![$(
                Scenario {
                    name: $name,
                    options: $options,
                    needs: Needs::$needs,
                    show: |world| Box::pin($show(world)),
                },
                Scenario {
                    name: concat!("native/", $name),
                    options: Options { native: true, ..$options },
                    needs: Needs::$needs,
                    show: |world| Box::pin($show(world)),
                },
            )*]
        }
    };
}

/// What begins the name of a scenario with the filter as a dynamic module.
const NATIVE: &str = "native/";

/// Scenarios that run with both kinds of the filter where nobody selects any: those of what the kinds differ in. All of them would take
/// a quarter of an hour more: `cargo test --test scenarios native/` runs them.
const ON_BOTH: [&str; 10] = [
    "attempt-log",
    "error-shapes",
    "failover-chain",
    "filter-new-policy",
    "filter-no-policy",
    "gdpr-failing",
    "guard-late",
    "guard-trickle",
    "signal-counted",
    "streaming",
];

/// They repeat, over SotW, what another one shows over delta xDS, each by itself for a minute. They run where somebody selects them: of what
/// differs between the two protocols, `config-edits-sotw` and `control-plane-restarts-sotw` run always.
const BY_NAME: [&str; 2] = ["config-zones-sotw", "overflow-sotw"];

impl Scenario {
    /// Its name, whatever the kind of the filter.
    fn plain_name(&self) -> &'static str {
        self.name.strip_prefix(NATIVE).unwrap_or(self.name)
    }

    /// Whether it runs where nobody selects any.
    pub fn is_usual(&self) -> bool {
        let name = self.plain_name();
        let is_of_kind = !self.options.native || ON_BOTH.contains(&name);
        is_of_kind && !BY_NAME.contains(&name)
    }
}

/// They take a minute or more each, so they begin first.
const LONG: [&str; 5] = [
    "config-regions",
    "residency-hunt",
    "gateway-faults",
    "guard-flapping",
    "overflow-noise",
];

/// They measure times that other scenarios on the same cores would spoil, or take all cores, so they run last, each by itself.
const ALONE: [&str; 14] = [
    "control-plane-killed",
    "replicas",
    "both-kinds",
    "both-kinds-compatible",
    "bodies-too-many",
    "wedged",
    "gateways-restart",
    "wave",
    "overflow",
    "overflow-sotw",
    "fast-path",
    "limits-prompt",
    "config-zones",
    "config-zones-sotw",
];

/// Every scenario.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = all();
    // A scenario that leaves no world behind comes after those that do.
    all.sort_by_key(|scenario| scenario.needs != Needs::Any);
    all
}

scenarios! {
    "nearest": nearest::nearest, Any, Options::default();
    "failover-chain": failover::chain, Any, Options::default();
    "failover-refused": failover::refused, Any, Options::default();
    "failover-reset": failover::reset, Any, Options::default();
    "failover-503": failover::unavailable, Any, Options::default();
    "failover-500": failover::broken, Any, Options::default();
    "failover-hang": failover::hang, Any, Options { limits: QUICK, ..Options::default() };
    "failover-everywhere": failover::everywhere, Any, Options::default();
    "failover-gateway": failover::gateway, Last, Options::default();
    "failover-sibling": failover::sibling, Any, Options { fallbacks: false, sibling: true, ..Options::default() };
    "failover-poison": failover::poison, Any, Options::default();
    "guard-hidden": guard::hidden, Any, Options { limits: guard::LIMITS, policy: guard::AT_HOME, ..Options::default() };
    "guard-late": guard::late, Any, Options { limits: guard::LIMITS, policy: guard::AT_HOME, ..Options::default() };
    "guard-whole": guard::whole, Any, Options { limits: guard::LIMITS, policy: guard::AT_HOME, ..Options::default() };
    "guard-client": guard::client, Any, Options { limits: guard::LIMITS, ..Options::default() };
    "guard-context": guard::context, Any, Options { limits: guard::LIMITS, policy: guard::AT_HOME, ..Options::default() };
    "attempt-log": attempt_log::attempts, Any, Options { limits: QUICK, policy: guard::AT_HOME, ..Options::default() };
    "guard-missing-model": missing_model::missing, Any, Options { limits: guard::LIMITS, policy: guard::AT_HOME, ..Options::default() };
    "guard-trickle": trickle::trickle, Any, Options { limits: trickle::LIMITS, fallbacks: false, policy: guard::AT_HOME, ..Options::default() };
    "both-kinds": both_kinds::vertex, Last, differential::options(Some(ClaudeHost::Vertex));
    "both-kinds-compatible": both_kinds::compatible, Last, differential::options(None);
    "guard-hunt": guard::hunt, Last, hunt::options();
    "residency-hunt": residency::hunted, Last, residency_hunt::options();
    "residency-in-flight": residency::in_flight, Last, residency_hunt::options();
    "residency-away": residency::away, Last, residency_hunt::options();
    "residency-restarted": residency::restarted, Last, residency_hunt::options();
    "residency-refused": residency::refused, Any, Options::default();
    "residency-edited": residency::edited, Last, residency_hunt::options();
    "gateway-faults": gateway_faults::faults_at_home, Any, gateway_faults::options();
    "guard-nowhere": guard::nowhere, Any, Options { fallbacks: false, ..Options::default() };
    "guard-flapping": failover::flapping, Any, Options::default();
    "gdpr-failing": gdpr::failing, Any, Options { limits: QUICK, ..Options::default() };
    "gdpr-no-fallback": gdpr::no_fallback, Any, Options { fallbacks: false, ..Options::default() };
    "gdpr-forged": gdpr::forged, Any, Options::default();
    "gdpr-refuse": misdirected::refuse, Any, Options::default();
    "gdpr-redirect": misdirected::redirect, Any, Options { misdirected: "redirect", ..Options::default() };
    "gdpr-forward": misdirected::forward, Any, Options { misdirected: "forward", ..Options::default() };
    "peer": peer::peer, Any, Options::default();
    "certificates-replaced": certificates::replaced, Last, Options::default();
    "certificates-expired": certificates::expired, Last, Options::default();
    "exhausted": exhausted::exhausted, Any, Options::default();
    "fallback-fails": exhausted::fallback_fails, Any, Options::default();
    "claude-clients": claude::clients, Any, Options { claude: Some(ClaudeHost::Vertex), ..Options::default() };
    "bodies": bodies::large, Any, Options::default();
    "bodies-too-many": bodies::too_many, Any, Options::default();
    "claude-large": claude_large::large, Any, Options { claude: Some(ClaudeHost::Vertex), ..Options::default() };
    "claude-tools": claude_tools::loops, Any, Options { claude: Some(ClaudeHost::Vertex), ..Options::default() };
    "claude-tools-bedrock": claude_tools::loops, Any, Options { claude: Some(ClaudeHost::Bedrock), ..Options::default() };
    "error-shapes": error_shapes::shapes, Any, Options { claude: Some(ClaudeHost::Vertex), ..Options::default() };
    "claude-once": claude::once, Any, Options { limits: QUICK, claude: Some(ClaudeHost::Vertex), ..Options::default() };
    "claude-keys": claude::keys, Any, Options { claude: Some(ClaudeHost::Vertex), ..Options::default() };
    "claude-midway": claude::midway, Any, Options { claude: Some(ClaudeHost::Vertex), ..Options::default() };
    "claude-bedrock": claude::bedrock, Any, Options { claude: Some(ClaudeHost::Bedrock), ..Options::default() };
    "claude-bedrock-midway": claude::midway, Any, Options { claude: Some(ClaudeHost::Bedrock), ..Options::default() };
    "claude-geo": claude::geo, Last, Options { claude: Some(ClaudeHost::Vertex), ..Options::default() };
    "claude-budget": claude::budget, Any, Options { claude: Some(ClaudeHost::Bedrock), fallback: claude::BUDGET, ..Options::default() };
    "claude-away": claude::away, Last, Options { claude: Some(ClaudeHost::Vertex), ..Options::default() };
    "models": models::models, Any, Options::default();
    "large-bodies": models::large_bodies, Any, Options { limits: SLOW, ..Options::default() };
    "bad-requests": models::bad_requests, Any, Options::default();
    "streaming-cut": cut::told, Any, Options { limits: guard::LIMITS, policy: guard::AT_HOME, ..Options::default() };
    "streaming": streaming::streaming, Any, Options::default();
    "limits": limits::limits, Any, Options { limits: limits::LIMITS, ..Options::default() };
    "limits-fallback": limits::fallback, Any, Options { limits: QUICK, claude: Some(ClaudeHost::Vertex), ..Options::default() };
    "limits-prompt": limits::prompt, Any, Options { limits: QUICK, ..Options::default() };
    "retries-crowd": retries::crowd, Any, Options { limits: SLOW, ..Options::default() };
    "retries-slow": retries::slow, Any, Options { limits: retries::FEW, ..Options::default() };
    "retry-after": retries::after, Last, Options { fallbacks: false, ..Options::default() };
    "provider-redirects": providers::redirects, Any, Options::default();
    "provider-secrets": providers::secrets, Any, Options::default();
    "provider-tools": providers::tools, Any, Options::default();
    "provider-fields": provider_fields::compatible, Any, Options::default();
    "provider-fields-claude": provider_fields::claude, Any, Options { claude: Some(ClaudeHost::Vertex), ..Options::default() };
    "hostile": hostile::hostile, Any, Options::default();
    "tls": nearest::tls, Any, Options { tls: true, ..Options::default() };
    "client": client::client, Any, Options::default();
    "by-file": nearest::nearest, Any, Options { configured: Configured::ByFile, ..Options::default() };
    "filter-steering": filter::steering, Any, Options { configured: Configured::ByFile, ..Options::default() };
    "filter-trailers": filter::trailers, Any, Options { configured: Configured::ByFile, ..Options::default() };
    "filter-no-policy": filter::no_policy, Last, Options { configured: Configured::ByFile, ..Options::default() };
    "filter-broken-policy": filter::broken_policy, Last, Options { configured: Configured::ByFile, ..Options::default() };
    "filter-new-policy": filter::new_policy, Last, Options { configured: Configured::ByFile, ..Options::default() };
    "filter-moved": native::moved, Last, Options::default();
    "native-panics": native_panics::everywhere, Last, native_panics::options();
    "native-not-loaded": native_refused::not_loaded, Last, Options { native: true, ..Options::default() };
    "native-not-configured": native_refused::not_configured, Last, Options { native: true, configured: Configured::ByFile, ..Options::default() };
    "silent-name-server": filter::silent_name_server, Last, Options { configured: Configured::ByFile, ..Options::default() };
    "overflow": overflow::overflow, Any, Options::default();
    "overflow-sotw": overflow::overflow, Any, Options { configured: Configured::BySotw, ..Options::default() };
    "overflow-eu": overflow::eu, Any, Options::default();
    "overflow-noise": overflow::noise, Any, Options::default();
    "affinity": overflow::affinity, Any, Options::default();
    "fast-path": overflow::fast_path, Last, Options::default();
    "servers": servers::by_load, Any, Options { limits: SLOW, sibling: true, ..Options::default() };
    "servers-back": servers::comes_back, Any, Options { sibling: true, ..Options::default() };
    "servers-affinity": servers::by_conversation, Any, Options { sibling: true, ..Options::default() };
    "refused-everywhere": overload::refused_everywhere, Any, Options::default();
    "refused-nowhere": overload::refused_nowhere, Any, Options { fallbacks: false, ..Options::default() };
    "wedged": overload::wedged, Any, Options { limits: overload::LIMITS, sibling: true, ..Options::default() };
    "wedged-elsewhere": overload::wedged_elsewhere, Any, Options { limits: overload::LIMITS, ..Options::default() };
    "wave": overload::wave, Any, Options { limits: overload::SHORT, ..Options::default() };
    "continues": continues::stay, Any, Options::default();
    "pressure": pressure::pressure_at_home, Any, Options { limits: SLOW, ..Options::default() };
    "signal-queue-lag": signals::queue_and_lag, Any, Options::default();
    "signal-errors": signals::errors, Any, Options::default();
    "signal-first-token": signals::first_token, Any, Options { limits: SLOW, ..Options::default() };
    "signal-sources": signals::sources, Any, Options { policy: SHORT_TTL, ..Options::default() };
    "signal-prometheus": queries::prometheus, Any, Options { policy: SHORT_TTL, ..Options::default() };
    "signal-pushed": pushed::pushed, Any, Options { policy: SHORT_TTL, ..Options::default() };
    "signal-counted": counted::counted_exactly, Fresh, Options::default();
    "signal-down": signals::down, Any, Options::default();
    "signal-stale": signals::stale, Any, Options { policy: SHORT_TTL, ..Options::default() };
    "retrieval": retrieval::follows, Any, Options { databases: true, ..Options::default() };
    "retrieval-sotw": retrieval::follows, Any, Options { databases: true, configured: Configured::BySotw, ..Options::default() };
    "retrieval-eu": retrieval::eu, Any, Options { databases: true, ..Options::default() };
    "retrieval-dead": retrieval::dead, Any, Options { databases: true, ..Options::default() };
    "retrieval-withdrawn": retrieval::withdrawn, Last, Options { databases: true, drain_s: retrieval::DRAIN_S, ..Options::default() };
    "retrieval-withdrawn-sotw": retrieval::withdrawn, Last, Options { databases: true, drain_s: retrieval::DRAIN_S, configured: Configured::BySotw, ..Options::default() };
    "retrieval-withdrawn-by-owner": retrieval::withdrawn_by_owner, Last, Options { databases: true, drain_s: retrieval::DRAIN_S, ..Options::default() };
    "retrieval-withdrawn-by-reader": retrieval::withdrawn_by_reader, Last, Options { databases: true, drain_s: retrieval::DRAIN_S, ..Options::default() };
    "retrieval-withdrawn-after-upgrade": retrieval::withdrawn_after_upgrade, Last, Options { databases: true, drain_s: retrieval::DRAIN_S, ..Options::default() };
    "batch": batch::batch, Any, Options::default();
    "order": batch::order, Any, Options::default();
    "fresh": fresh::fresh, Any, Options::default();
    "config-edits": config::edits, Any, Options::default();
    "config-edits-sotw": config::edits, Any, Options { configured: Configured::BySotw, ..Options::default() };
    "config-regions": config::regions, Any, Options { limits: config::LONG_ANSWERS, ..Options::default() };
    "config-zones": config::zones, Any, Options { misdirected: "forward", ..Options::default() };
    "config-zones-sotw": config::zones, Any, Options { configured: Configured::BySotw, misdirected: "forward", ..Options::default() };
    "config-filter": config::filter, Last, Options::default();
    "config-filter-sotw": config::filter, Last, Options { configured: Configured::BySotw, ..Options::default() };
    "config-nack": config::nack, Any, Options { lease: "6s", ..Options::default() };
    "config-nack-sotw": config::nack, Any, Options { configured: Configured::BySotw, lease: "6s", ..Options::default() };
    "control-plane-restarts": control_plane::restarts, Any, Options::default();
    "control-plane-restarts-sotw": control_plane::restarts, Any, Options { configured: Configured::BySotw, ..Options::default() };
    "control-plane-hangs": control_plane::hangs, Any, Options { lease: "6s", ..Options::default() };
    "control-plane-killed": control_plane::killed, Last, kill_hunt::options();
    "replicas": control_plane::replicas, Last, replica_hunt::options();
    "clocks": clocks::clocks, Last, Options { lease: "6s", policy: SHORT_TTL, clocks: true, ..Options::default() };
    "drained": operators::drained, Last, kill_hunt::options();
    "drained-conversations": operators::conversations, Last, Options::default();
    "overridden": operators::overridden, Any, Options::default();
    "explained": explained::explained, Last, Options::default();
    "reported": reported::reported, Any, Options::default();
    "page": page::page, Last, Options { locations: true, ..Options::default() };
    "gateways-restart": control_plane::gateways, Any, Options::default();
}

/// Limits with room for slow streams and large bodies.
const SLOW: &str =
    "{ first_token: 10s, unstreamed: 20s, connect: 1s, gap: 20s, answer: 120s, body: 64MiB }";

/// Limits that a silent server soon exceeds.
const QUICK: &str =
    "{ first_token: 1s, unstreamed: 1s, connect: 1s, gap: 20s, answer: 30s, body: 64MiB }";

/// A short time to live of signals.
const SHORT_TTL: &str = "unhealthy: { signal_ttl: 2s }";

/// An error instead of a panic: the other scenarios go on.
fn ensure(condition: bool, otherwise: impl FnOnce() -> String) -> Result<()> {
    if condition {
        Ok(())
    } else {
        bail!(otherwise())
    }
}

/// Waits until a region serves again after failures: to every worker of the gateway, so ten requests in a row.
async fn serves_again(region: &str, ask: impl Fn() -> Ask) -> Result<()> {
    let in_a_row = AtomicU32::new(0);
    wait_for(&format!("{region} to serve again"), async || {
        if ask().send().await?.region() == region {
            in_a_row.fetch_add(1, Ordering::Relaxed);
        } else {
            in_a_row.store(0, Ordering::Relaxed);
        }
        Ok(in_a_row.load(Ordering::Relaxed) >= 10)
    })
    .await
}

/// The request is answered by this region or `fallback/<name>`. The requests that the servers recorded agree.
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

/// The request is refused with this status, and has reached no server.
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
