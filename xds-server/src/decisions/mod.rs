//! What gateways have decided lately: their reports, kept for some minutes.
//!
//! A gateway reports requests that were refused, failed over, broke off or were for a fallback, and a few of the others. A report has
//! nothing of a caller but the zone, the model and what became of the request.

mod kept;
mod read;
mod receiver;
mod record;
mod text;

pub use kept::{Decisions, Kept, Wanted};
pub use receiver::Receiver;
pub use record::{AttemptReport, DecisionRecord, Outcome, Tokens};
pub use text::{table, text};
