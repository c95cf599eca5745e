//! The control plane's own certificates: read at the start, and again when their files change. They are polled as the
//! fleet file is.

mod own;
mod report;

pub use own::OwnCertificates;
pub use report::CONTROL_PLANE;

use super::report::ErrorReport;
use crate::clock::Clock;
use crate::xds::{Certificates, Tls};
use anyhow::{Context, Result};
use meridian_policy::fleet::ControlPlaneTls;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Interval between two reads.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The files, and what was read from them.
#[derive(Debug)]
pub struct CertificateFiles {
    paths: ControlPlaneTls,
    /// What the last poll read.
    polled: Result<Tls, String>,
    /// What was taken or refused last.
    judged: Result<Tls, String>,
    own: Arc<OwnCertificates>,
}

impl CertificateFiles {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// One cannot be read, or they cannot be used. The error names the field of the fleet file.
    pub fn open(paths: ControlPlaneTls) -> Result<Self> {
        let tls = read(&paths).map_err(anyhow::Error::msg)?;
        let in_force = Certificates::new(&tls).with_context(|| place(&paths))?;
        Ok(Self {
            own: Arc::new(OwnCertificates {
                in_force: Arc::new(in_force),
                error: Mutex::default(),
                reloads: AtomicU64::new(0),
            }),
            polled: Ok(tls.clone()),
            judged: Ok(tls),
            paths,
        })
    }

    /// The certificates in force.
    pub fn own(&self) -> Arc<OwnCertificates> {
        Arc::clone(&self.own)
    }

    /// Follows the files for as long as the process runs.
    pub async fn watch(mut self, clock: Clock) {
        let mut polls = tokio::time::interval(POLL_INTERVAL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            polls.tick().await;
            let paths = self.paths.clone();
            // A file system that hangs blocks this task only.
            if let Ok(read) = tokio::task::spawn_blocking(move || read(&paths)).await {
                self.poll(read, clock);
            }
        }
    }

    /// Takes what was read, once it was the same at two polls: of a pair that is being replaced, one file is new first.
    fn poll(&mut self, read: Result<Tls, String>, clock: Clock) {
        let is_settled = self.polled == read;
        self.polled = read;
        if !is_settled || self.judged == self.polled {
            return;
        }
        self.judged = self.polled.clone();
        let replaced = self.polled.clone().and_then(|tls| {
            let replaced = self.own.in_force.replace(&tls);
            replaced.map_err(|error| format!("{}: {error}", place(&self.paths)))
        });
        match replaced {
            Ok(()) => {
                tracing::info!("the certificates were replaced; new connections use them");
                self.own.reloads.fetch_add(1, Ordering::Relaxed);
                self.own.set_error(None);
            }
            Err(message) => {
                tracing::error!(message, "the certificates before stay in force");
                let at = clock();
                self.own.set_error(Some(ErrorReport { at, message }));
            }
        }
    }
}

fn read(paths: &ControlPlaneTls) -> Result<Tls, String> {
    let read = |field: &str, path: &str| {
        std::fs::read(path).map_err(|error| format!("control_plane.tls.{field}: {path}: {error}"))
    };
    Ok(Tls {
        certificate: read("certificate", &paths.identity.certificate)?,
        key: read("key", &paths.identity.key)?,
        ca: read("ca", &paths.ca)?,
    })
}

/// Where the files stand in the fleet file, and where they are.
fn place(paths: &ControlPlaneTls) -> String {
    let (identity, ca) = (&paths.identity, &paths.ca);
    format!(
        "control_plane.tls ({}, {}, {ca})",
        identity.certificate, identity.key
    )
}

#[cfg(test)]
mod tests;
