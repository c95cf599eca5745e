//! Meridian's own filter, as a Wasm plugin or as a dynamic module.

use super::leak::Leaks;
use super::{native, wasm};
use envoy_types::pb::envoy::extensions::filters::http::dynamic_modules::v3::DynamicModuleFilter;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::google::protobuf::Any;
use meridian_policy::egress_policy::EgressPolicy;
use meridian_policy::guard_policy::GuardPolicy;
use meridian_policy::pool_policy::PoolPolicy;
use meridian_policy::{FilterPolicy, Fleet};
use prost::Name;
use serde::de::DeserializeOwned;

/// The plugin root that strips the caller's `x-meridian-*` headers and sets its own.
const ROUTER: &str = "router";

/// The plugin root that inspects the response of every attempt.
const GUARD: &str = "guard";

/// The plugin root that picks the servers for other gateways' requests.
const POOL: &str = "pool";

/// The plugin root that lets an allow-list of headers through to a provider.
const EGRESS: &str = "egress";

/// Meridian's own filter.
pub enum Plugin {
    /// In a sandbox.
    Wasm(Box<Wasm>),
    /// In Envoy's process.
    Native(Box<DynamicModuleFilter>),
}

impl Plugin {
    /// Whether a configuration is of this filter.
    pub fn is(any: &Any) -> bool {
        any.type_url == Wasm::type_url() || any.type_url == DynamicModuleFilter::type_url()
    }

    /// The filter of a configuration.
    pub fn of(at: &str, any: &Any, leaks: &mut Leaks) -> Option<Self> {
        if any.type_url == Wasm::type_url() {
            leaks.unpack(at, any).map(|wasm| Self::Wasm(Box::new(wasm)))
        } else {
            leaks
                .unpack(at, any)
                .map(|module| Self::Native(Box::new(module)))
        }
    }

    fn root(&self) -> Option<&str> {
        match self {
            Self::Wasm(wasm) => wasm.config.as_ref().map(|plugin| plugin.root_id.as_str()),
            Self::Native(module) => Some(module.filter_name.as_str()),
        }
    }

    /// Whether it is the one that decides the zone of every request.
    pub fn is_router(&self) -> bool {
        self.root() == Some(ROUTER)
    }

    /// Whether it is the one that picks servers.
    pub fn is_pool(&self) -> bool {
        self.root() == Some(POOL)
    }

    fn policy<P: DeserializeOwned>(
        &self,
        fleet: &Fleet,
        at: &str,
        root: &str,
        leaks: &mut Leaks,
    ) -> Option<P> {
        match self {
            Self::Wasm(wasm) => wasm::policy(fleet, at, wasm.config.as_ref(), root, leaks),
            Self::Native(module) => native::policy(fleet, at, module, root, leaks),
        }
    }

    /// The policy of the filter that decides the zone of every request.
    pub fn router(&self, fleet: &Fleet, at: &str, leaks: &mut Leaks) -> Option<FilterPolicy> {
        self.policy(fleet, at, ROUTER, leaks)
    }

    /// The policy of the filter in front of a provider.
    pub fn egress(&self, fleet: &Fleet, at: &str, leaks: &mut Leaks) -> Option<EgressPolicy> {
        self.policy(fleet, at, EGRESS, leaks)
    }

    /// Checks the filter that inspects the responses of a chain. Its policy cannot choose a destination: a refused response
    /// makes Envoy try the next member of the same chain.
    pub fn guard(&self, fleet: &Fleet, at: &str, leaks: &mut Leaks) {
        self.policy::<GuardPolicy>(fleet, at, GUARD, leaks);
    }

    /// Checks the filter that picks servers for other gateways' requests. The header that it sets picks an endpoint within
    /// the cluster of the route.
    pub fn pool(&self, fleet: &Fleet, at: &str, leaks: &mut Leaks) {
        self.policy::<PoolPolicy>(fleet, at, POOL, leaks);
    }
}
