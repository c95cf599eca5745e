//! Several control planes that share a store.

use super::encode::gauges;
use crate::serve::report::Report;
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;

/// Whether the store answers, and who leads. Nothing for a control plane on its own.
pub fn replicas(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Some(replicas) = &report.replicas else {
        return Ok(());
    };
    let flag = |flag: bool| [(Vec::new(), f64::from(u8::from(flag)))];
    gauges(
        encoder,
        "meridian_store_up",
        "1 while the store in etcd answers",
        flag(replicas.up),
    )?;
    gauges(
        encoder,
        "meridian_leads",
        "1 while this replica leads",
        flag(replicas.leads),
    )?;
    let leader = replicas.leader.iter().map(|leader| {
        let labels = vec![("replica", leader.name.clone())];
        (labels, leader.since.0 as f64 / 1000.0)
    });
    gauges(
        encoder,
        "meridian_leader_since_seconds",
        "Since when a replica leads, in seconds since the Unix epoch",
        leader,
    )?;
    gauges(
        encoder,
        "meridian_plan_revision",
        "The revision in etcd of the plan in force",
        [(Vec::new(), replicas.revision as f64)],
    )?;
    gauges(
        encoder,
        "meridian_replica_cannot_publish",
        "1 while this replica cannot publish the plan in force",
        flag(replicas.unable.is_some()),
    )
}
