//! What is told of a study: tables, the document and the page.

mod chart;
pub mod document;
pub mod page;
mod parts;
pub mod table;

use crate::gate::Gate;
use crate::profile::Fit;
use crate::study::Studied;

/// A study with all that is told of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The service model, with how well it fits.
    pub fit: Fit,
    /// Seeds of each case.
    pub seeds: u64,
    /// The cases.
    pub cases: Vec<Studied>,
    /// How Meridian does in them.
    pub gate: Gate,
}
