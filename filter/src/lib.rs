//! Meridian's Envoy filter. One .wasm; what it does is the `root_id` in Envoy's configuration:
//!
//! - `router`: decides where a request goes (see [`router`]).
//! - `guard`: sees every attempt's answer (see [`guard`]). It shares its VM with the router.
//! - `pool`: picks the server for what other gateways send (see [`pool`]), with them in one VM.
//! - `egress`: what leaves for a hosted provider (see [`egress`]).
//!
//! Callbacks and host calls only: what is decided, and what callers are told, is in `meridian-policy`.
#![allow(unsafe_code, missing_docs)] // `proxy_wasm::main!` exports the ABI's entry points.

mod asked;
mod board;
mod egress;
mod guard;
mod memory;
mod metric;
mod pace;
mod pool;
mod router;
mod servers;
mod silence;

use meridian_policy::egress::EgressPolicy;
use meridian_policy::guard::GuardPolicy;
use meridian_policy::slots::PoolPolicy;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, LogLevel};
use serde::de::DeserializeOwned;
use std::rc::Rc;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root { role: Role::Router(None) }) });
}}

/// One plugin configuration.
struct Root {
    role: Role,
}

enum Role {
    /// Without a policy it refuses every request.
    Router(Option<Rc<router::Policy>>),
    Guard(Rc<GuardPolicy>),
    /// Without a policy all pools balance by load.
    Pool(Rc<PoolPolicy>),
    /// Without a policy nothing leaves.
    Egress(Option<Rc<EgressPolicy>>),
}

impl Context for Root {}

impl RootContext for Root {
    /// `false` makes Envoy reject the configuration and keep the one before.
    fn on_configure(&mut self, _: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        let root = self
            .get_property(vec!["plugin_root_id"])
            .unwrap_or_default();
        let role = match root.as_slice() {
            b"router" if configuration.is_empty() => Ok(Role::Router(None)),
            b"router" => policy(&configuration)
                .map(|policy| Role::Router(Some(router::Policy::arrived(policy)))),
            b"guard" => policy(&configuration).map(|policy: GuardPolicy| {
                let look = policy.gap_ms.map_or(board::KEEP_EVERY, silence::look_every);
                self.set_tick_period(look.min(board::KEEP_EVERY));
                Role::Guard(Rc::new(policy))
            }),
            b"pool" if configuration.is_empty() => Ok(Role::Pool(Rc::default())),
            b"pool" => policy(&configuration).map(|policy| Role::Pool(Rc::new(policy))),
            b"egress" if configuration.is_empty() => Ok(Role::Egress(None)),
            b"egress" => policy(&configuration).map(|policy| {
                memory::begin_spending(&policy);
                Role::Egress(Some(Rc::new(policy)))
            }),
            other => Err(format!(
                "there is no root_id `{}`; use router, guard, pool or egress",
                String::from_utf8_lossy(other)
            )),
        };
        match role {
            Ok(role) => {
                self.role = role;
                true
            }
            Err(error) => {
                log(LogLevel::Error, &format!("meridian: {error}"));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        silence::end();
        if board::keep() {
            servers::tell_all();
        }
        pace::tell();
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(match &self.role {
            Role::Router(policy) => Box::new(router::Request::new(policy.clone())),
            Role::Guard(policy) => Box::new(guard::Attempt::new(context, policy.clone())),
            Role::Pool(policy) => Box::new(pool::Request::new(policy.clone())),
            Role::Egress(policy) => Box::new(egress::Request::new(policy.clone())),
        })
    }
}

fn policy<P: DeserializeOwned>(configuration: &[u8]) -> Result<P, String> {
    serde_json::from_slice(configuration)
        .map_err(|error| format!("the filter's policy is refused: {error}"))
}

fn log(level: LogLevel, message: &str) {
    // A log line that is lost is no reason to fail.
    let _ = hostcalls::log(level, message);
}
