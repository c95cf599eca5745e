//! The certificates in force, for the server and the report.

use crate::serve::report::ErrorReport;
use crate::xds::Certificates;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

/// The certificates in force, and what became of the files since the start.
#[derive(Debug)]
pub struct OwnCertificates {
    /// Those in force.
    pub in_force: Arc<Certificates>,
    pub(super) error: Mutex<Option<ErrorReport>>,
    pub(super) reloads: AtomicU64,
}

impl OwnCertificates {
    pub(super) fn error(&self) -> Option<ErrorReport> {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.clone()
    }

    pub(super) fn set_error(&self, new: Option<ErrorReport>) {
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        *error = new;
    }
}
