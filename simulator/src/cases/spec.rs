//! The specification of a case.

use super::load::Load;
use crate::case::{Fault, FaultKind};
use crate::topology::RegionLocation;
use crate::trace::{TraceError, TraceRequest};
use std::sync::Arc;

/// Servers per region, unless a case says otherwise.
pub const REPLICAS: usize = 6;

/// Why a case cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A trace cannot be parsed.
    #[error("{file}: {error}")]
    Trace {
        /// The trace's file or case.
        file: String,
        /// The invalid line.
        error: TraceError,
    },
    /// A trace has no requests.
    #[error("{0}: it has no requests")]
    Empty(String),
    /// The service model cannot be fitted to the measured times.
    #[error("the measured times: {0}")]
    ServiceTimes(String),
    /// The simulated servers are too slow for a trace.
    #[error(
        "{0}: a region of {REPLICAS} servers serves less than one request a minute within the objective: are its prompts too long?"
    )]
    TooSlow(String),
}

/// Where a case's requests come from.
#[derive(Clone, Debug)]
pub(super) enum TraceSource {
    Code,
    Conversation,
    Mooncake,
    /// `ServeGen` clients, as CSV.
    ServeGen(Arc<str>),
    /// A user's trace.
    Custom(Arc<[TraceRequest]>),
}

/// The specification of a case.
pub struct CaseSpec {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) locations: &'static [RegionLocation],
    /// Servers of each region.
    pub(super) sizes: Vec<usize>,
    pub(super) trace: TraceSource,
    pub(super) load: Load,
    /// Load over a day in half hours, at most 1; `None` for the default.
    pub(super) day: Option<Vec<f64>>,
    pub(super) faults: Vec<Fault>,
    /// Times at which demand or capacity changes abruptly, in seconds.
    pub(super) disturbances: Vec<f64>,
}

impl CaseSpec {
    pub(super) fn new(
        name: &str,
        description: &str,
        locations: &'static [RegionLocation],
        trace: TraceSource,
        load: Load,
    ) -> Self {
        Self {
            name: name.to_owned(),
            description: description.to_owned(),
            locations,
            sizes: vec![REPLICAS; locations.len()],
            trace,
            load,
            day: None,
            faults: Vec::new(),
            disturbances: Vec::new(),
        }
    }

    /// Adds a fault that lasts from second 400 to second 800. `None` means all regions.
    pub(super) fn with_fault(mut self, region: Option<usize>, kind: FaultKind) -> Self {
        let (from, to) = (400.0, 800.0);
        self.faults.push(Fault {
            region,
            from,
            to,
            kind,
        });
        self.with_disturbances(&[from, to])
    }

    pub(super) fn with_sizes(mut self, sizes: &[usize]) -> Self {
        self.sizes = sizes.to_vec();
        self
    }

    pub(super) fn with_disturbances(mut self, times: &[f64]) -> Self {
        self.disturbances = times.to_vec();
        self
    }

    /// Name of the case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One sentence that says what happens.
    pub fn description(&self) -> &str {
        &self.description
    }
}
