//! Hosted providers.

use super::{Check, field};
use crate::fleet::raw::{RawFallback, RawProvider};
use meridian_policy::FallbackName;
use meridian_policy::claude::Claude;
use meridian_policy::egress::Provider;
use meridian_policy::fleet::{Fallback, ProviderEndpoint};
use std::collections::BTreeMap;

/// The base URL of Anthropic's API.
const ANTHROPIC: &str = "https://api.anthropic.com/v1";

/// Tokens of an answer to a request that does not say how many: what every Claude can give.
const MAX_TOKENS: u32 = 4096;

impl Check {
    pub(super) fn fallbacks(
        &mut self,
        raw: BTreeMap<String, RawFallback>,
    ) -> BTreeMap<FallbackName, Fallback> {
        let mut fallbacks: BTreeMap<FallbackName, Fallback> = BTreeMap::new();
        for (name, raw) in raw {
            let at = format!("fallbacks.{name}");
            self.at(&at, field::plain_name(&name));
            let provider = self.provider(&at, &raw);
            let endpoint = self.endpoint(&at, &raw);
            let api_key = self.at(
                &format!("{at}.api_key"),
                field::secret(raw.api_key.env, raw.api_key.file),
            );
            if raw.jurisdiction.is_empty() {
                let fix = "say where it may process a request, e.g. [eea] or [global]";
                self.problem(format!("{at}.jurisdiction"), fix);
            }
            self.jurisdiction_names(&format!("{at}.jurisdiction"), &raw.jurisdiction);
            self.context(&format!("{at}.context"), raw.context);
            if let (Some(provider), Some(endpoint), Some(api_key)) = (provider, endpoint, api_key) {
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
                    name.into(),
                    Fallback {
                        provider,
                        endpoint,
                        jurisdiction,
                        api_key,
                        context: raw.context,
                    },
                );
            }
        }
        fallbacks
    }

    fn endpoint(&mut self, at: &str, raw: &RawFallback) -> Option<ProviderEndpoint> {
        let at = format!("{at}.url");
        let url = match (raw.provider, &raw.url) {
            (_, Some(url)) => url,
            (RawProvider::Anthropic, None) => ANTHROPIC,
            (RawProvider::OpenaiCompatible, None) => {
                self.problem(
                    at,
                    "is missing: write the API's base URL, e.g. https://api.example.com/v1",
                );
                return None;
            }
        };
        self.at(&at, field::provider_url(url))
    }

    fn provider(&mut self, at: &str, raw: &RawFallback) -> Option<Provider> {
        match raw.provider {
            RawProvider::OpenaiCompatible => {
                let others = [
                    ("model", raw.model.is_some()),
                    ("max_tokens", raw.max_tokens.is_some()),
                ];
                for (field, _) in others.into_iter().filter(|(_, given)| *given) {
                    let message = "is for `provider: anthropic`: this provider is asked what the caller asks; remove it";
                    self.problem(format!("{at}.{field}"), message);
                }
                Some(Provider::OpenaiCompatible)
            }
            RawProvider::Anthropic => {
                for (index, name) in raw.jurisdiction.iter().enumerate() {
                    if !matches!(name.as_str(), "global" | "us") {
                        let message = format!(
                            "`{name}` is nowhere that Anthropic's API can be held to: it runs in the US (`us`) or anywhere \
                             (`global`); for `{name}` use a provider with an endpoint there"
                        );
                        self.problem(format!("{at}.jurisdiction[{index}]"), message);
                    }
                }
                if raw.max_tokens == Some(0) {
                    self.problem(
                        format!("{at}.max_tokens"),
                        "at 0 no answer has a word; write e.g. 4096",
                    );
                }
                let Some(model) = raw.model.clone().filter(|model| !model.is_empty()) else {
                    let message = "is missing: write the name of the Claude that answers, e.g. claude-sonnet-5";
                    self.problem(format!("{at}.model"), message);
                    return None;
                };
                let in_the_us = raw.jurisdiction.iter().all(|name| name == "us");
                Some(Provider::Anthropic(Claude {
                    model,
                    max_tokens: raw.max_tokens.unwrap_or(MAX_TOKENS),
                    inference_geo: in_the_us.then(|| "us".to_owned()),
                }))
            }
        }
    }

    pub(super) fn jurisdiction_names(&mut self, at: &str, names: &[String]) {
        for (index, name) in names.iter().enumerate() {
            self.at(&format!("{at}[{index}]"), field::plain_name(name));
        }
    }
}
