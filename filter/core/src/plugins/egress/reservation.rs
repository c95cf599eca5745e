//! What one request takes off a fallback's budget.

use crate::budget::{Admitted, Estimate, cost_so_far};
use crate::claude::Usage;
use crate::egress_refusal::EgressRefusal;
use crate::host::Host;
use crate::worker::{self, Worker};
use meridian_policy::egress_policy::{EgressPolicy, Price};

/// A part of a budget. It lasts until it is settled or given back.
pub struct Reservation {
    admitted: Admitted,
    estimate: Estimate,
    /// What the request has cost, as far as that is known, in billionths of a dollar.
    cost: u64,
}

impl Reservation {
    /// Takes what a request may cost off the budget. `None`: the fallback has neither a budget nor a price.
    ///
    /// # Errors
    /// The budget does not hold as much.
    pub fn take(
        host: &dyn Host,
        worker: &mut Worker,
        policy: &EgressPolicy,
        estimate: Estimate,
    ) -> Result<Option<Self>, EgressRefusal> {
        match worker::admit(host, policy, estimate) {
            Ok(admitted) => Ok(admitted.map(|admitted| Self {
                admitted,
                estimate,
                cost: 0,
            })),
            Err(over) => {
                worker
                    .metrics
                    .over_budget(host, &policy.fallback, over.limit);
                Err(EgressRefusal::OverBudget(over.retry_after))
            }
        }
    }

    /// The request is sent: it costs this much as long as its answer reports nothing.
    pub fn note_sent(&mut self, streamed: bool) {
        self.cost = self.estimate.without_usage(streamed);
    }

    /// The answer has reported its usage.
    pub fn note_usage(&mut self, price: &Price, usage: &Usage) {
        self.cost = cost_so_far(price, usage, self.estimate);
    }

    /// What the provider refuses costs nothing.
    pub fn forget_cost(&mut self) {
        self.cost = 0;
    }

    /// The provider was not asked.
    pub fn give_back(self, host: &dyn Host, policy: &EgressPolicy) {
        worker::give_back(host, policy, self.admitted);
    }

    /// The answer is over.
    pub fn settle(self, host: &dyn Host, worker: &mut Worker, policy: &EgressPolicy) {
        worker::settle(host, policy, self.admitted, self.cost);
        worker.metrics.spent(host, &policy.fallback, self.cost);
    }
}
