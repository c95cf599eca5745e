//! Egress listeners: the caller's credentials are removed, and the fleet's credential is added for its provider only.

use super::egress_policy;
use super::http_filter::{Filter, Placed};
use super::leak::only;
use super::walk::Walk;
use super::wasm;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::header_mutation::Action;
use envoy_types::pb::envoy::extensions::filters::http::credential_injector::v3::CredentialInjector;
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::{
    HeaderMutation, Mutations,
};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::http::injected_credentials::generic::v3::Generic;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::SdsSecretConfig;
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use meridian_policy::{FallbackName, headers};
use std::collections::BTreeSet;

/// Headers that carry callers' credentials.
const CREDENTIALS: [&str; 5] = [
    "authorization",
    "proxy-authorization",
    "api-key",
    "x-api-key",
    "cookie",
];

impl Walk<'_> {
    /// Checks the filter in front of these providers: its policy must be the one that the fleet gives each of them.
    fn egress_plugin(&mut self, at: &str, wasm: &Wasm, providers: &BTreeSet<&FallbackName>) {
        let Some(policy) = wasm::egress_policy(self.fleet, at, wasm, &mut self.leaks) else {
            return;
        };
        for name in providers {
            if egress_policy::expected(self.fleet, name).as_ref() != Some(&policy) {
                let message = format!("the filter's policy is not that of the fallback `{name}`");
                self.leaks.add(at, message);
            }
        }
    }

    /// Checks the filters of an internal listener that leads to these providers.
    pub fn egress(&mut self, at: &str, filters: &[Placed], providers: &BTreeSet<&FallbackName>) {
        let found = self.egress_filters(filters, providers);
        if providers.is_empty() {
            return;
        }
        if providers.len() > 1 {
            let names: Vec<&str> = providers.iter().map(|name| name.as_str()).collect();
            let names = names.join(", ");
            self.leaks.add(
                at,
                format!("leads to several providers ({names}): their keys and callers would mix"),
            );
        }
        if !found.injects_credential {
            self.leaks.add(
                at,
                "our credential is not injected on the way to a provider",
            );
        }
        if !found.has_allow_list {
            self.leaks.add(
                at,
                "headers of the caller would go to a provider that are not on the filter's list",
            );
        }
        self.removed_headers(at, &found.removals);
    }

    /// Reports headers of the caller that are not removed.
    fn removed_headers(&mut self, at: &str, removals: &[Removal]) {
        for header in CREDENTIALS {
            if !removals.iter().any(|removal| removal.removes(header)) {
                self.leaks.add(
                    at,
                    format!("the caller's `{header}` would go to a provider"),
                );
            }
        }
        let ours = headers::PREFIX;
        if !removals.iter().any(|removal| removal.removes_all(ours)) {
            self.leaks.add(
                at,
                format!("headers of the prefix `{ours}` would go to a provider"),
            );
        }
    }

    /// Checks each filter by itself.
    fn egress_filters(
        &mut self,
        filters: &[Placed],
        providers: &BTreeSet<&FallbackName>,
    ) -> EgressFilters {
        let mut found = EgressFilters::default();
        for placed in filters {
            match &placed.filter {
                Filter::Mutation(mutation) => {
                    let removals = self.removals(&placed.at, mutation);
                    // A later removal would take our own credential.
                    if !found.injects_credential {
                        found.removals.extend(removals);
                    }
                }
                Filter::Credential(injector) => {
                    found.injects_credential = true;
                    for provider in providers {
                        self.credential(&placed.at, injector, provider);
                    }
                }
                Filter::Health | Filter::Router => {}
                // The removal of credentials does not depend on the filter's allow-list.
                Filter::Wasm(wasm) if !found.injects_credential => {
                    found.has_allow_list = true;
                    self.egress_plugin(&placed.at, wasm, providers);
                }
                Filter::Wasm(_) | Filter::Rbac(_) | Filter::Compressor => {
                    self.leaks
                        .unsupported(&placed.at, "this filter on the way out");
                }
            }
        }
        found
    }

    /// The removals of a header mutation. Any other mutation is a leak.
    fn removals(&mut self, at: &str, filter: &HeaderMutation) -> Vec<Removal> {
        let supported = only!(
            HeaderMutation,
            filter,
            [mutations, most_specific_header_mutations_wins]
        );
        self.leaks.check_fields(at, filter, &supported);
        let Some(mutations) = &filter.mutations else {
            return Vec::new();
        };
        let supported = only!(
            Mutations,
            mutations,
            [
                request_mutations,
                response_mutations,
                response_trailers_mutations
            ]
        );
        self.leaks.check_fields(at, mutations, &supported);
        let mut removals = Vec::new();
        for mutation in &mutations.request_mutations {
            let removal = match &mutation.action {
                Some(Action::Remove(name)) => Some(Removal::Exactly(name.clone())),
                Some(Action::RemoveOnMatch(on)) => on.key_matcher.as_ref().and_then(Removal::of),
                _ => None,
            };
            if removal.is_none() {
                self.leaks
                    .unsupported(at, "a header mutation that is not a plain removal");
            }
            removals.extend(removal);
        }
        removals
    }

    fn credential(&mut self, at: &str, injector: &CredentialInjector, provider: &FallbackName) {
        if !injector.overwrite || injector.allow_request_without_credential {
            self.leaks.add(
                at,
                "a request must leave with our credential or not at all: `overwrite`, and not `allow_request_without_credential`",
            );
        }
        let extension = injector.credential.as_ref();
        let any = extension.and_then(|extension| extension.typed_config.as_ref());
        let Some(generic) = self.leaks.unpack_required::<Generic>(at, any) else {
            return;
        };
        let Some(credential) = &generic.credential else {
            self.leaks.unsupported(at, "a credential without a secret");
            return;
        };
        let supported = only!(SdsSecretConfig, credential, [name, sds_config]);
        self.leaks.check_fields(at, credential, &supported);
        let place = self.fleet.fallbacks.get(provider);
        let right = place.is_some_and(|fallback| self.secrets.is_at(credential, &fallback.api_key));
        if !right {
            self.leaks.add(
                at,
                format!(
                    "the secret `{}` is not where the fleet keeps the key of the fallback `{provider}`",
                    credential.name
                ),
            );
        }
    }
}

/// What the filters of an egress listener do together.
#[derive(Default)]
struct EgressFilters {
    /// Headers that are removed before our credential is injected.
    removals: Vec<Removal>,
    injects_credential: bool,
    has_allow_list: bool,
}

/// Request headers that are removed.
enum Removal {
    Exactly(String),
    Prefix(String),
}

impl Removal {
    fn of(matcher: &StringMatcher) -> Option<Self> {
        match &matcher.match_pattern {
            Some(MatchPattern::Exact(name)) => Some(Self::Exactly(name.clone())),
            Some(MatchPattern::Prefix(prefix)) => Some(Self::Prefix(prefix.clone())),
            _ => None,
        }
    }

    /// Whether a header is removed. Envoy keeps header names in lower case; a name in another case may match nothing.
    fn removes(&self, header: &str) -> bool {
        match self {
            Self::Exactly(name) => name == header,
            Self::Prefix(prefix) => header.starts_with(prefix.as_str()),
        }
    }

    fn removes_all(&self, of: &str) -> bool {
        matches!(self, Self::Prefix(prefix) if of.starts_with(prefix.as_str()))
    }
}
