//! Egress listeners: the caller's credentials are removed, and the fleet's credential is added for its provider only.

use super::egress_policy;
use super::http_filter::{Filter, Placed};
use super::jurisdiction;
use super::leak::{Leaks, one_of, only};
use super::owner::Owner;
use super::provider::Provider;
use super::residency::may_end_at;
use super::route::Egress;
use super::walk::{Walk, Zones};
use envoy_types::pb::envoy::config::common::mutation_rules::v3::header_mutation::Action;
use envoy_types::pb::envoy::extensions::filters::http::credential_injector::v3::CredentialInjector;
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::{
    HeaderMutation, Mutations,
};
use envoy_types::pb::envoy::extensions::http::injected_credentials::generic::v3::Generic;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::SdsSecretConfig;
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use meridian_policy::egress_policy::EgressPolicy;
use meridian_policy::headers;

/// Headers that carry callers' credentials.
const CREDENTIALS: [&str; 5] = [
    "authorization",
    "proxy-authorization",
    "api-key",
    "x-api-key",
    "cookie",
];

impl<'f> Walk<'f> {
    /// Checks the filters of an internal listener with routes to providers. All of it must be right for one definition of one provider,
    /// which all definitions of zones that are led here list.
    pub fn egress(&mut self, at: &str, filters: &[Placed], egresses: &[Egress<'f>], zones: &Zones) {
        let found = self.egress_filters(filters);
        let mut ends = egresses.iter().flat_map(|egress| &egress.ends);
        let Some(first) = ends.next() else {
            return;
        };
        let mut candidates = first.clone();
        for end in ends {
            candidates.retain(|provider| end.contains(provider));
        }
        if candidates.is_empty() {
            self.leaks.add(
                at,
                "leads to several providers: their keys and callers would mix",
            );
        }
        if found.credentials.is_empty() {
            self.leaks.add(
                at,
                "our credential is not injected on the way to a provider",
            );
        }
        if found.policies.is_empty() {
            self.leaks.add(
                at,
                "headers of the caller would go to a provider that are not on the filter's list",
            );
        }
        self.removed_headers(at, &found.removals);
        let mut leaks = std::mem::take(&mut self.leaks);
        one_of(candidates, &mut leaks, |provider, leaks| {
            self.provider(at, provider, (&found, egresses), zones, leaks);
        });
        self.leaks = leaks;
    }

    /// Checks that a listener is this provider's.
    fn provider(
        &self,
        at: &str,
        provider: &Provider<'f>,
        (found, egresses): (&EgressFilters, &[Egress<'f>]),
        zones: &Zones,
        leaks: &mut Leaks,
    ) {
        for (_, definition) in self
            .definitions
            .iter()
            .filter(|(id, _)| zones.contains(*id))
        {
            // An address with two owners must be right for both.
            let ends = egresses.iter().flat_map(|egress| &egress.ends);
            let at_ends = ends.flatten().filter(|other| definition.defines(other));
            for provider in at_ends.chain([provider]) {
                let owner = Owner::Provider(*provider);
                if !may_end_at(definition, &owner) {
                    let name = definition.name;
                    let message = format!(
                        "a request of the pinned zone `{name}` can reach {owner}, outside the zone"
                    );
                    leaks.add(at, message);
                }
            }
            if definition.zone.pinned && jurisdiction::contradicts(provider.fallback) {
                let message = format!(
                    "the address of the fallback `{}` is outside its jurisdiction, on which the pinned zone `{}` relies",
                    provider.name, definition.name
                );
                leaks.add(at, message);
            }
        }
        for egress in egresses {
            egress.rewrites(provider, leaks);
        }
        for (at, credential) in &found.credentials {
            let place = &provider.fallback.api_key;
            if !self.secrets.is_at(credential, place) {
                let message = format!(
                    "the secret `{}` is not where the fleet keeps the key of the fallback `{}`",
                    credential.name, provider.name
                );
                leaks.add(at, message);
            }
        }
        for (at, policy) in &found.policies {
            egress_policy::check(at, policy, provider, (&self.definitions, zones), leaks);
        }
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
    fn egress_filters(&mut self, filters: &[Placed]) -> EgressFilters {
        let mut found = EgressFilters::default();
        for placed in filters {
            match &placed.filter {
                Filter::Mutation(mutation) => {
                    let removals = self.removals(&placed.at, mutation);
                    // A later removal would take our own credential.
                    if found.credentials.is_empty() {
                        found.removals.extend(removals);
                    }
                }
                Filter::Credential(injector) => {
                    let credential = self.credential(&placed.at, injector);
                    let credential = credential.unwrap_or_default();
                    found.credentials.push((placed.at.clone(), credential));
                }
                Filter::Health | Filter::Router => {}
                // The removal of credentials does not depend on the filter's allow-list.
                Filter::Plugin(plugin) if found.credentials.is_empty() => {
                    let policy = plugin.egress(self.fleet, &placed.at, &mut self.leaks);
                    let policies = policy.into_iter();
                    found
                        .policies
                        .extend(policies.map(|policy| (placed.at.clone(), policy)));
                }
                Filter::Plugin(_) | Filter::Rbac(_) | Filter::Compressor => {
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

    fn credential(&mut self, at: &str, injector: &CredentialInjector) -> Option<SdsSecretConfig> {
        if !injector.overwrite || injector.allow_request_without_credential {
            self.leaks.add(
                at,
                "a request must leave with our credential or not at all: `overwrite`, and not `allow_request_without_credential`",
            );
        }
        let extension = injector.credential.as_ref();
        let any = extension.and_then(|extension| extension.typed_config.as_ref());
        let generic = self.leaks.unpack_required::<Generic>(at, any)?;
        let Some(credential) = generic.credential else {
            self.leaks.unsupported(at, "a credential without a secret");
            return None;
        };
        let supported = only!(SdsSecretConfig, credential, [name, sds_config]);
        self.leaks.check_fields(at, &credential, &supported);
        Some(credential)
    }
}

/// What the filters of an egress listener do together.
#[derive(Default)]
struct EgressFilters {
    /// Headers that are removed before our credential is injected.
    removals: Vec<Removal>,
    /// The secrets that are injected, and where.
    credentials: Vec<(String, SdsSecretConfig)>,
    /// The policies of the plugin with the allow-list, and where.
    policies: Vec<(String, EgressPolicy)>,
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
