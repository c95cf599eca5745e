//! Context sizes: the longest prompts of pools.

use super::{Check, region_at};
use meridian_policy::Fleet;

/// Largest context size, in tokens: ten times that of any model.
const LARGEST_CONTEXT: u64 = 100_000_000;

impl Check {
    pub(super) fn context(&mut self, at: &str, tokens: Option<u32>) {
        self.at_most(at, tokens, LARGEST_CONTEXT);
        if tokens == Some(0) {
            self.problem(
                at,
                "no prompt has 0 tokens; write the most that the server accepts, e.g. 131072",
            );
        }
    }

    /// Context sizes are compared, so a single one has no effect.
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
        let places: Vec<String> = pools.chain(fallbacks).collect();
        if let [alone] = places.as_slice() {
            let message = "nothing else has a `context`, so none is known to be larger or smaller; add it to the pools and \
                           fallbacks that serve the same model, or remove it";
            self.problem(format!("{alone}.context"), message);
        }
    }
}
