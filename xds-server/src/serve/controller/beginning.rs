//! What a start has from the process before.

use crate::serve::edition::{Earlier, Edition};
use crate::serve::publication::{Publication, Publisher, Unpublishable};
use meridian_planner::plan::{Plan, carried_over};
use meridian_policy::filter_policy::Lease;

/// What a control plane begins with.
pub struct Beginning {
    pub edition: Edition,
    pub earlier: Earlier,
    pub plan: Plan,
    pub publisher: Publisher,
}

impl Beginning {
    /// The editions that an earlier process has left, the newest first, as they were. The file's own edition, if there are none or they
    /// cannot be published.
    ///
    /// # Errors
    ///
    /// If nothing can be published.
    pub fn after(
        editions: Vec<Edition>,
        own: &Edition,
        plan: &Plan,
        lease: Lease,
    ) -> Result<Self, Unpublishable> {
        let mut editions = editions.into_iter();
        if let Some(newest) = editions.next()
            && newest.fleet.trust_domain == own.fleet.trust_domain
        {
            match Self::with(newest, Earlier::saved(editions.collect()), plan, lease) {
                Ok(beginning) => return Ok(beginning),
                Err(error) => {
                    tracing::warn!(%error, "the definitions before the restart cannot be kept; requests that were decided under them are refused");
                }
            }
        }
        Self::with(own.clone(), Earlier::default(), plan, lease)
    }

    fn with(
        edition: Edition,
        earlier: Earlier,
        plan: &Plan,
        lease: Lease,
    ) -> Result<Self, Unpublishable> {
        let plan = carried_over(&edition.fleet, plan);
        let history = earlier.before(&edition.fleet);
        let publisher = Publisher::new(history, &plan, lease, &Publication::new())?;
        Ok(Self {
            edition,
            earlier,
            plan,
            publisher,
        })
    }
}
