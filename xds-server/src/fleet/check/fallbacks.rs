//! Fallbacks: hosted providers.

use super::places::{AWS, Places, VERTEX};
use super::public_apis::{self, imitates, is_within};
use super::{Check, field, listed};
use crate::fleet::raw::{RawFallback, RawFallbackFinding, RawProvider, RawSecret};
use meridian_policy::FallbackName;
use meridian_policy::egress_policy::{Claude, ClaudeHost};
use meridian_policy::egress_policy::{Provider, Renames};
use meridian_policy::fleet::{Fallback, ProviderEndpoint, Secret};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The base URL of Anthropic's API.
const ANTHROPIC: &str = "https://api.anthropic.com/v1";

/// Inference profiles of Bedrock: the model's prefix, the prefix of its AWS regions, and jurisdictions in which it has none.
const PROFILES: [(&str, &str, &[&str]); 2] =
    [("eu", "eu-", &["us"]), ("us", "us-", &["eea", "uk", "ch"])];

/// Largest `max_tokens`: more than any model writes.
const MOST_TOKENS: u64 = 10_000_000;

/// Limit of output tokens for requests without one: every Claude model supports it.
const MAX_TOKENS: u32 = 4096;

impl Check {
    pub(super) fn fallbacks(
        &mut self,
        raw: BTreeMap<String, RawFallback>,
    ) -> BTreeMap<FallbackName, Fallback> {
        let mut fallbacks: BTreeMap<FallbackName, Fallback> = BTreeMap::new();
        for (name, raw) in raw {
            let at = format!("fallbacks.{name}");
            let own_name: Option<FallbackName> = self.name(&at, &name);
            self.fields_of_others(&at, &raw);
            let provider = self.provider(&at, &raw);
            let renames = self.renames(&at, &raw);
            let endpoint = self.endpoint(&at, &raw);
            if let Some(endpoint) = &endpoint {
                self.is_what_it_seems(&at, &raw, &endpoint.host);
            }
            let budget = self.budget(&at, &raw);
            let price = self.price(&at, raw.price.as_ref());
            let api_key = self.api_key(&at, raw.provider, raw.api_key);
            if raw.jurisdiction.is_empty() {
                let fix = "say where it may process a request, e.g. [eea] or [global]";
                self.problem(format!("{at}.jurisdiction"), fix);
            }
            self.jurisdiction_names(&format!("{at}.jurisdiction"), &raw.jurisdiction);
            self.context(&format!("{at}.context"), raw.context);
            if let (Some(name), Some(provider), Some(endpoint), Some(api_key)) =
                (own_name, provider, endpoint, api_key)
            {
                let place = (&endpoint.host, endpoint.port);
                let there = |other: &Fallback| (&other.endpoint.host, other.endpoint.port) == place;
                if let Some((other, _)) = fallbacks.iter().find(|(_, other)| there(other)) {
                    let message = format!(
                        "leads to the same host and port as the fallback `{other}`, and what leaves for one could not \
                         be told from what leaves for the other; keep one of them"
                    );
                    self.problem(format!("{at}.url"), message);
                }
                let jurisdiction = raw.jurisdiction.into_iter().collect();
                fallbacks.insert(
                    name,
                    Fallback {
                        provider,
                        renames,
                        endpoint,
                        jurisdiction,
                        api_key,
                        context: raw.context,
                        budget,
                        price,
                    },
                );
            }
        }
        fallbacks
    }

    /// The names of the models at an OpenAI-compatible provider.
    fn renames(&mut self, at: &str, raw: &RawFallback) -> Renames {
        let mut renames = Renames::default();
        if raw.provider != RawProvider::OpenaiCompatible {
            return renames;
        }
        if let Some(model) = &raw.model {
            renames.others = self.name(&format!("{at}.model"), model);
        }
        for (model, theirs) in &raw.models {
            let at = format!("{at}.models.{model}");
            let names = (self.name(&at, model), self.name(&at, theirs));
            if let (Some(model), Some(theirs)) = names {
                renames.models.insert(model, theirs);
            }
        }
        renames
    }

    /// Google's tokens expire after an hour, so a key that is read once at start cannot work.
    fn api_key(&mut self, at: &str, provider: RawProvider, raw: RawSecret) -> Option<Secret> {
        let at = format!("{at}.api_key");
        let api_key = self.at(&at, field::secret(raw))?;
        if provider == RawProvider::Vertex && !matches!(api_key, Secret::Sds(_)) {
            let message = "is read when a gateway starts, and a token of Google's lives for an hour; write \
                           `{ sds: PATH }`, a file that is read again when another is moved over it";
            self.problem(at, message);
        }
        Some(api_key)
    }

    /// Reports fields that the provider ignores: the author would rely on them.
    fn fields_of_others(&mut self, at: &str, raw: &RawFallback) {
        let claude: &[RawProvider] = &[
            RawProvider::Anthropic,
            RawProvider::Vertex,
            RawProvider::Bedrock,
        ];
        let compatible: &[RawProvider] = &[RawProvider::OpenaiCompatible];
        let vertex: &[RawProvider] = &[RawProvider::Vertex];
        let bedrock: &[RawProvider] = &[RawProvider::Bedrock];
        let fields = [
            ("models", !raw.models.is_empty(), compatible),
            ("max_tokens", raw.max_tokens.is_some(), claude),
            ("project", raw.project.is_some(), vertex),
            ("location", raw.location.is_some(), &claude[1..]),
            ("destinations", !raw.destinations.is_empty(), bedrock),
            ("price", raw.price.is_some(), claude),
            ("body", raw.body.is_some(), claude),
        ];
        for (field, given, of) in fields {
            if given && !of.contains(&raw.provider) {
                let message = "has no effect for this provider; remove it";
                self.problem(format!("{at}.{field}"), message);
            }
        }
    }

    fn endpoint(&mut self, at: &str, raw: &RawFallback) -> Option<ProviderEndpoint> {
        let url = match (raw.provider, &raw.url) {
            (RawProvider::Vertex, _) => return self.vertex(at, raw),
            (RawProvider::Bedrock, _) => return self.bedrock(at, raw),
            (_, Some(url)) => url,
            (RawProvider::Anthropic, None) => ANTHROPIC,
            (RawProvider::OpenaiCompatible, None) => {
                let message =
                    "is missing: write the API's base URL, e.g. https://api.example.com/v1";
                self.problem(format!("{at}.url"), message);
                return None;
            }
        };
        self.at(&format!("{at}.url"), field::provider_url(url))
    }

    /// Vertex: address and jurisdiction follow from the location.
    fn vertex(&mut self, at: &str, raw: &RawFallback) -> Option<ProviderEndpoint> {
        let project = self.plain(at, "project", raw.project.as_ref(), "my-project");
        let location = self.plain(at, "location", raw.location.as_ref(), "europe-west1");
        let (project, location) = project.zip(location)?;
        self.keeps(at, &raw.jurisdiction, VERTEX, &location);
        let host = match location.as_str() {
            "global" => "aiplatform.googleapis.com".to_owned(),
            "eu" | "us" => format!("aiplatform.{location}.rep.googleapis.com"),
            _ => format!("{location}-aiplatform.googleapis.com"),
        };
        let base = raw.url.clone();
        let base = base.unwrap_or_else(|| format!("https://{host}/v1"));
        let mut endpoint = self.at(&format!("{at}.url"), field::provider_url(&base))?;
        self.is_there(at, raw, &endpoint, "googleapis.com");
        endpoint.path += &format!("/projects/{project}/locations/{location}/publishers/anthropic");
        Some(endpoint)
    }

    /// Bedrock: the same, except that an inference profile forwards requests to regions that AWS chooses.
    fn bedrock(&mut self, at: &str, raw: &RawFallback) -> Option<ProviderEndpoint> {
        let location = self.plain(at, "location", raw.location.as_ref(), "eu-central-1")?;
        self.keeps(at, &raw.jurisdiction, AWS, &location);
        let model = raw
            .model
            .as_deref()
            .filter(|model| field::bedrock_model(model).is_ok());
        let profile = model.and_then(field::inference_profile);
        let is_held = raw.jurisdiction.iter().any(|name| name != "global");
        match profile {
            None if !raw.destinations.is_empty() => {
                let message = "is for inference profiles, and `model` is none: it runs in `location`; remove it";
                self.problem(format!("{at}.destinations"), message);
            }
            Some("global") if is_held => {
                let message = "a `global.` inference profile runs anywhere; use the model of one AWS region, or a profile whose \
                               destinations are known";
                self.problem(format!("{at}.model"), message);
            }
            Some(profile) if is_held && raw.destinations.is_empty() => {
                let message = format!(
                    "is missing: the inference profile `{profile}.` sends requests on to other AWS regions; list them all, as \
                     `aws bedrock get-inference-profile` shows them"
                );
                self.problem(format!("{at}.destinations"), message);
            }
            _ => {}
        }
        if let Some(profile) = profile {
            self.profile_fits(at, raw, profile, &location);
        }
        for destination in &raw.destinations {
            self.keeps(at, &raw.jurisdiction, AWS, destination);
        }
        let base = raw.url.clone();
        let base =
            base.unwrap_or_else(|| format!("https://bedrock-runtime.{location}.amazonaws.com"));
        let endpoint = self.at(&format!("{at}.url"), field::provider_url(&base))?;
        self.is_there(at, raw, &endpoint, "amazonaws.com");
        Some(endpoint)
    }

    /// Checks that a URL leads to a host of the provider's that serves the location: the location was checked with the jurisdiction, but
    /// the URL is used. A loopback host is a part of the gateway's own machine.
    fn is_there(&mut self, at: &str, raw: &RawFallback, endpoint: &ProviderEndpoint, domain: &str) {
        let host = &endpoint.host;
        let location = raw.location.as_deref().unwrap_or_default();
        let is_proven = public_apis::location(host).is_some_and(|(_, there)| there == location);
        let is_loopback = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let is_held = raw.jurisdiction.iter().any(|name| name != "global");
        if is_proven || is_loopback || imitates(host).is_some() {
            return;
        }
        if is_within(host, domain) && location != "global" {
            let message = format!(
                "`{host}` is not in the location `{location}`, which is what the jurisdiction was checked with; leave `url` out, \
                 or name the location's own host"
            );
            self.problem(format!("{at}.url"), message);
        } else if is_held {
            let message = format!(
                "`{host}` does not show that it serves the location `{location}`, which is what the jurisdiction was checked \
                 with; leave `url` out"
            );
            self.finding(at, "url", RawFallbackFinding::UnprovenHost, &message);
        }
    }

    /// Checks that a host contradicts neither its own looks nor the jurisdiction.
    fn is_what_it_seems(&mut self, fallback_at: &str, raw: &RawFallback, host: &str) {
        let at = format!("{fallback_at}.url");
        if let Some(domain) = imitates(host) {
            let message = format!(
                "`{host}` looks like a host of {domain} and is none; write the provider's own host, or a proxy's under another name"
            );
            self.problem(&at, message);
        }
        if raw.provider == RawProvider::OpenaiCompatible {
            for jurisdiction in &raw.jurisdiction {
                let serves = public_apis::serves(host, jurisdiction);
                let unproven = jurisdiction != "global"
                    && public_apis::is_public_api(host)
                    && !public_apis::is_proven(host, jurisdiction);
                if self.at(&at, serves).is_some() && unproven {
                    let message = format!(
                        "`{host}` does not show that it keeps requests in `{jurisdiction}`; use the provider's host for that place, if it \
                         has one"
                    );
                    let kind = RawFallbackFinding::UnprovenHost;
                    self.finding(fallback_at, "url", kind, &message);
                }
            }
        }
    }

    /// Checks that an inference profile is for the geography of its AWS regions and of the jurisdiction.
    fn profile_fits(&mut self, at: &str, raw: &RawFallback, profile: &str, location: &str) {
        let known = PROFILES.iter().find(|(name, ..)| *name == profile);
        let Some((_, prefix, others)) = known else {
            return;
        };
        let regions = raw.destinations.iter().map(String::as_str);
        let foreign = regions
            .chain([location])
            .filter(|region| !region.starts_with(prefix));
        let elsewhere = |name: &&str| others.contains(name);
        let foreign: BTreeSet<&str> = foreign
            .chain(
                raw.jurisdiction
                    .iter()
                    .map(String::as_str)
                    .filter(elsewhere),
            )
            .collect();
        if !foreign.is_empty() {
            let message = format!(
                "the inference profile `{profile}.` is for another geography than {}; use that one's profile, or the model of one AWS region",
                listed(foreign)
            );
            self.finding(at, "model", RawFallbackFinding::ForeignProfile, &message);
        }
    }

    /// A required field with a plain name.
    fn plain(
        &mut self,
        at: &str,
        field: &str,
        text: Option<&String>,
        example: &str,
    ) -> Option<String> {
        let at = format!("{at}.{field}");
        let Some(text) = text else {
            self.problem(at, format!("is missing: write e.g. {example}"));
            return None;
        };
        self.at(&at, field::plain_name(text))?;
        Some(text.clone())
    }

    /// Checks that the location keeps requests in every listed jurisdiction.
    fn keeps(&mut self, at: &str, jurisdiction: &[String], places: Places, location: &str) {
        for (index, name) in jurisdiction.iter().enumerate() {
            let kept = places.keep(location, name);
            self.at(&format!("{at}.jurisdiction[{index}]"), kept);
        }
    }

    fn provider(&mut self, at: &str, raw: &RawFallback) -> Option<Provider> {
        let (host, inference_geo) = match raw.provider {
            RawProvider::OpenaiCompatible => return Some(Provider::OpenaiCompatible),
            RawProvider::Anthropic => (
                ClaudeHost::Anthropic,
                self.inference_geo(at, &raw.jurisdiction),
            ),
            RawProvider::Vertex => (ClaudeHost::Vertex, None),
            RawProvider::Bedrock => (ClaudeHost::Bedrock, None),
        };
        if raw.max_tokens == Some(0) {
            let message = "at 0 no response has a token; write e.g. 4096";
            self.problem(format!("{at}.max_tokens"), message);
        }
        self.at_most(&format!("{at}.max_tokens"), raw.max_tokens, MOST_TOKENS);
        let max_body = self.max_body(&format!("{at}.body"), host, raw.body.as_deref());
        let at = format!("{at}.model");
        let Some(model) = &raw.model else {
            let message = "is missing: write the name of the Claude model, e.g. claude-sonnet-5";
            self.problem(at, message);
            return None;
        };
        let model = match host {
            ClaudeHost::Bedrock => field::bedrock_model(model),
            ClaudeHost::Anthropic | ClaudeHost::Vertex => field::claude_model(model),
        };
        let model = self.at(&at, model)?;
        Some(Provider::Claude(Claude {
            host,
            model,
            max_tokens: raw.max_tokens.unwrap_or(MAX_TOKENS),
            inference_geo,
            max_body,
        }))
    }

    /// A limit of request bodies that is not the host's own.
    fn max_body(&mut self, at: &str, host: ClaudeHost, body: Option<&str>) -> Option<u32> {
        let body = self.at(at, field::bytes(body?))?;
        let most = host.max_body();
        if body > most {
            let message = format!(
                "the provider takes {}MiB at most; write no more",
                most >> 20
            );
            self.problem(at, message);
        }
        (body < most).then_some(body)
    }

    /// Anthropic's API can restrict processing to the US only.
    fn inference_geo(&mut self, at: &str, jurisdiction: &[String]) -> Option<String> {
        for (index, name) in jurisdiction.iter().enumerate() {
            if !matches!(name.as_str(), "global" | "us") {
                let message = format!(
                    "`{name}` is nowhere that Anthropic's API can be held to: it runs in the US (`us`) or anywhere \
                     (`global`); for `{name}` use a provider with an endpoint there, e.g. vertex"
                );
                self.problem(format!("{at}.jurisdiction[{index}]"), message);
            }
        }
        let in_the_us = jurisdiction.iter().all(|name| name == "us");
        in_the_us.then(|| "us".to_owned())
    }

    pub(super) fn jurisdiction_names(&mut self, at: &str, names: &[String]) {
        for (index, name) in names.iter().enumerate() {
            self.at(&format!("{at}[{index}]"), field::plain_name(name));
        }
    }
}
