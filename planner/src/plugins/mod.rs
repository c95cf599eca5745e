//! Policies of a gateway's plugins, derived from the fleet and the plan.

mod batch;
mod egress;
mod fresh;
mod guard;
mod retrieval;
mod router;
mod smaller_context;

pub use egress::egress_policy;
pub use fresh::fresh_rule;
pub use guard::guard_policy;
pub use retrieval::retrieval_policy;
pub use router::filter_policy;
