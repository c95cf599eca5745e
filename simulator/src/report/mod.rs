//! Reports of a study: tables, the Markdown document and the HTML page.

mod ablation;
mod chart;
pub mod document;
pub mod html;
pub mod table;

use crate::gate::Gate;
use crate::profile::Fit;
use crate::study::CaseResult;

/// The results that a report shows.
#[derive(Clone, Debug)]
pub struct Report {
    /// The service model with its errors.
    pub fit: Fit,
    /// Seeds per case.
    pub seeds: u64,
    /// Results by case.
    pub cases: Vec<CaseResult>,
    /// The gate's evaluation.
    pub gate: Gate,
}
