//! Several control planes of a world, on one etcd.

use super::control_plane::Run;
use super::{Block, ControlPlane, Etcd, wait_for};
use anyhow::{Context, Result};
use meridian_xds_server::serve::report::{ReplicasReport, Report};
use std::path::Path;
use std::time::Duration;

/// How long one that is asked who leads may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// The control planes, and their store.
pub struct Replicas {
    /// The store.
    pub etcd: Etcd,
    /// The control planes.
    pub all: Vec<ControlPlane>,
}

impl Replicas {
    /// Starts them, and waits until one leads and all publish the same.
    pub(super) async fn start(dir: &Path, block: &Block, count: usize) -> Result<Self> {
        let etcd = Etcd::start(dir, block.etcd()).await?;
        let mut all = Vec::new();
        for number in 0..count {
            let status = block.status_of(number);
            let arguments = [
                "--state".into(),
                format!("etcd://{}", etcd.address()),
                "--listen".into(),
                block.replica(number).to_string(),
                "--status".into(),
                status.to_string(),
            ];
            let run = Run::replica(dir, number, arguments);
            all.push(ControlPlane::start(run, status, None).await?);
        }
        let replicas = Self { etcd, all };
        wait_for("the replicas to agree", || async {
            Ok(replicas.agree().await.is_ok_and(|agree| agree))
        })
        .await?;
        Ok(replicas)
    }

    /// What all of them show.
    pub async fn reports(&self) -> Result<Vec<Report>> {
        let mut reports = Vec::new();
        for replica in &self.all {
            reports.push(replica.report().await?);
        }
        Ok(reports)
    }

    /// The one that leads by its own word, if any. One that does not answer leads nobody.
    pub async fn leader(&self) -> Option<usize> {
        self.leader_but(usize::MAX).await
    }

    /// The same, without asking this one.
    pub async fn leader_but(&self, other: usize) -> Option<usize> {
        for (number, replica) in self.all.iter().enumerate() {
            if number == other {
                continue;
            }
            let report = tokio::time::timeout(PATIENCE, replica.report()).await;
            let report = report
                .ok()
                .and_then(Result::ok)
                .and_then(|report| report.replicas);
            if report.is_some_and(|report| report.leads && report.up) {
                return Some(number);
            }
        }
        None
    }

    /// Whether all know the same leader, the same plan, and publish the same.
    pub async fn agree(&self) -> Result<bool> {
        let mut seen: Vec<ReplicasReport> = Vec::new();
        for report in self.reports().await? {
            seen.push(report.replicas.context("no replicas in the report")?);
        }
        let Some(first) = seen.first() else {
            return Ok(false);
        };
        let is_same = |other: &ReplicasReport| {
            other.up
                && other.leader.is_some()
                && !other.published.is_empty()
                && (&other.leader, other.revision, &other.published)
                    == (&first.leader, first.revision, &first.published)
        };
        let leaders = seen.iter().filter(|report| report.leads).count();
        Ok(leaders == 1 && seen.iter().all(is_same))
    }
}
