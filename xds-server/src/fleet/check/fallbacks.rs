//! Hosted providers.

use super::{Check, field};
use crate::fleet::raw::{RawFallback, RawProvider};
use meridian_policy::FallbackName;
use meridian_policy::fleet::Fallback;
use std::collections::BTreeMap;

impl Check {
    pub(super) fn fallbacks(
        &mut self,
        raw: BTreeMap<String, RawFallback>,
    ) -> BTreeMap<FallbackName, Fallback> {
        let mut fallbacks: BTreeMap<FallbackName, Fallback> = BTreeMap::new();
        for (name, raw) in raw {
            let at = format!("fallbacks.{name}");
            self.at(&at, field::plain_name(&name));
            let RawProvider::OpenaiCompatible = raw.provider;
            let endpoint = self.at(&format!("{at}.url"), field::provider_url(&raw.url));
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
            if let (Some(endpoint), Some(api_key)) = (endpoint, api_key) {
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

    pub(super) fn jurisdiction_names(&mut self, at: &str, names: &[String]) {
        for (index, name) in names.iter().enumerate() {
            self.at(&format!("{at}[{index}]"), field::plain_name(name));
        }
    }
}
