//! The control plane's own certificates, of the xDS port and of the admin API's: read at the start, and again when their files change. They are polled as the
//! fleet file is.

mod own;
mod report;

pub use own::OwnCertificates;
pub use report::CONTROL_PLANE;

use super::report::ErrorReport;
use super::settled::Settled;
use crate::clock::{Clock, steady_clock};
use crate::xds::{Certificates, Clients, Tls};
use anyhow::{Context, Result};
use meridian_policy::fleet::{AdminApi, ControlPlaneTls, KeyPair};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Interval between two reads.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The files, and what was read from them.
#[derive(Debug)]
pub struct CertificateFiles {
    paths: CertificatePaths,
    settled: Settled<Tls>,
    own: Arc<OwnCertificates>,
}

/// Where the files of a port are.
#[derive(Clone, Debug)]
pub struct CertificatePaths {
    /// Their field of the fleet file.
    field: &'static str,
    identity: KeyPair,
    ca: Option<String>,
    clients: Clients,
}

impl From<ControlPlaneTls> for CertificatePaths {
    fn from(tls: ControlPlaneTls) -> Self {
        Self {
            field: "control_plane.tls",
            identity: tls.identity,
            ca: Some(tls.ca),
            clients: Clients::Certified,
        }
    }
}

impl From<&AdminApi> for CertificatePaths {
    fn from(api: &AdminApi) -> Self {
        Self {
            field: "control_plane.api.tls",
            identity: api.identity.clone(),
            ca: api.ca.clone(),
            clients: Clients::Any,
        }
    }
}

impl CertificateFiles {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// One cannot be read, or they cannot be used. The error names the field of the fleet file.
    pub fn open(paths: impl Into<CertificatePaths>) -> Result<Self> {
        let paths = paths.into();
        let tls = read(&paths).map_err(anyhow::Error::msg)?;
        let in_force = Certificates::new(&tls).with_context(|| place(&paths))?;
        Ok(Self {
            own: Arc::new(OwnCertificates {
                in_force: Arc::new(in_force),
                error: Mutex::default(),
                reloads: AtomicU64::new(0),
            }),
            settled: Settled::new(tls),
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
        let Some(judged) = self.settled.poll(read) else {
            return;
        };
        let replaced = judged.and_then(|tls| {
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

/// The certificates in force of files that are followed from now on.
pub fn followed(files: CertificateFiles) -> Arc<OwnCertificates> {
    let own = files.own();
    tokio::spawn(files.watch(steady_clock));
    own
}

fn read(paths: &CertificatePaths) -> Result<Tls, String> {
    let read = |name: &str, path: &str| {
        std::fs::read(path).map_err(|error| format!("{}.{name}: {path}: {error}", paths.field))
    };
    Ok(Tls {
        certificate: read("certificate", &paths.identity.certificate)?,
        key: read("key", &paths.identity.key)?,
        ca: match &paths.ca {
            Some(ca) => read("ca", ca)?,
            None => Vec::new(),
        },
        clients: paths.clients,
    })
}

/// Where the files stand in the fleet file, and where they are.
fn place(paths: &CertificatePaths) -> String {
    let identity = &paths.identity;
    let files = [&identity.certificate, &identity.key];
    let files: Vec<&str> = files
        .into_iter()
        .chain(&paths.ca)
        .map(String::as_str)
        .collect();
    format!("{} ({})", paths.field, files.join(", "))
}

#[cfg(test)]
mod tests;
