//! How long prompts may be.

use super::{Check, region_at};
use meridian_policy::Fleet;

impl Check {
    pub(super) fn context(&mut self, at: &str, tokens: Option<u32>) {
        if tokens == Some(0) {
            self.problem(
                at,
                "no prompt has 0 tokens; write the most that is taken, e.g. 131072",
            );
        }
    }

    /// A context says something beside another one only.
    pub(super) fn contexts_compare(&mut self, fleet: &Fleet) {
        let pools = fleet.regions.iter().flat_map(|(region, of)| {
            let at = region_at(region);
            of.contexts
                .keys()
                .map(move |model| format!("{at}.pools.{model}"))
        });
        let fallbacks = fleet
            .fallbacks
            .iter()
            .filter(|(_, of)| of.context.is_some());
        let fallbacks = fallbacks.map(|(name, _)| format!("fallbacks.{name}"));
        let told: Vec<String> = pools.chain(fallbacks).collect();
        if let [alone] = told.as_slice() {
            let message = "nothing else has a `context`, so none is known to be larger or smaller; add it to the pools and \
                           fallbacks that serve the same model, or remove it";
            self.problem(format!("{alone}.context"), message);
        }
    }
}
