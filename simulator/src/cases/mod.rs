//! The cases: how they are specified, and how a case is built from a specification and a seed.

mod catalog;
mod library;
mod load;
mod spec;
mod trace_file;

pub use catalog::all;
pub use library::{Library, OBJECTIVE, WARM_UP, calibrated};
pub use load::SECONDS;
pub use spec::{CaseError, CaseSpec, REPLICAS};
pub use trace_file::{Format, TraceFile};
