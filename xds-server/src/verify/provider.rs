//! Hosted providers, each as one fleet defines it.

use meridian_policy::egress_policy::{self, Claude};
use meridian_policy::fleet::Fallback;
use meridian_policy::{FallbackName, Fleet};
use std::cmp::Ordering;

/// The hosted provider of a fallback, as one fleet defines it.
#[derive(Clone, Copy, Debug)]
pub struct Provider<'f> {
    /// How many fleets were in force after the one that defines it.
    pub age: usize,
    /// The fleet that defines it.
    pub fleet: &'f Fleet,
    /// The fallback.
    pub name: &'f FallbackName,
    /// Its definition.
    pub fallback: &'f Fallback,
}

impl Provider<'_> {
    fn key(&self) -> (usize, &FallbackName) {
        (self.age, self.name)
    }
}

impl PartialEq for Provider<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Provider<'_> {}

impl PartialOrd for Provider<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Provider<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// Whether two fallbacks send a request to the same place, to be processed in the same places.
pub fn same_provider(one: &Fallback, two: &Fallback) -> bool {
    one.endpoint == two.endpoint
        && one.jurisdiction == two.jurisdiction
        && match (&one.provider, &two.provider) {
            (
                egress_policy::Provider::OpenaiCompatible,
                egress_policy::Provider::OpenaiCompatible,
            ) => true,
            (egress_policy::Provider::Claude(one), egress_policy::Provider::Claude(two)) => {
                let place = |claude: &Claude| {
                    (
                        claude.host,
                        claude.model.clone(),
                        claude.inference_geo.clone(),
                    )
                };
                place(one) == place(two)
            }
            _ => false,
        }
}
