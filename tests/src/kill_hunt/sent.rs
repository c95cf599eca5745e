//! What control planes send, by their logs and counters, and what gateways take, by their own statistics.

use crate::world::{REGIONS, World};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Resources sent, by type.
#[derive(Clone, Debug, Default)]
pub struct Pushes(BTreeMap<String, usize>);

impl Pushes {
    /// What a process has logged.
    pub fn of(log: &str) -> Self {
        let mut pushes = Self::default();
        for line in log.lines() {
            if let Some((kind, sent)) = push(line) {
                *pushes.0.entry(kind.to_owned()).or_default() += sent;
            }
        }
        pushes
    }

    /// These and others.
    pub fn with(mut self, others: &Self) -> Self {
        for (kind, sent) in &others.0 {
            *self.0.entry(kind.clone()).or_default() += sent;
        }
        self
    }

    /// What has come to these since.
    pub fn without(mut self, before: &Self) -> Self {
        for (kind, sent) in &before.0 {
            *self.0.entry(kind.clone()).or_default() -= sent;
        }
        self.0.retain(|_, sent| *sent > 0);
        self
    }

    /// The types of which there are any.
    pub fn kinds(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }

    /// All resources.
    pub fn resources(&self) -> usize {
        self.0.values().sum()
    }
}

/// The type and the number of the resources of a push. A push may only remove resources.
fn push(line: &str) -> Option<(&str, usize)> {
    let (_, fields) = line.split_once(": push kind=\"")?;
    let (kind, fields) = fields.split_once('"')?;
    let (_, sent) = fields.split_once(" sent=")?;
    Some((kind, sent.split(' ').next()?.parse().ok()?))
}

/// Types of which a page of metrics counts responses.
pub fn counted(metrics: &str) -> BTreeSet<String> {
    let lines = metrics.lines().filter_map(|line| {
        let labels = line.strip_prefix("meridian_xds_pushes_total{type=\"")?;
        let (kind, count) = labels.split_once("\"} ")?;
        (count != "0").then(|| kind.to_owned())
    });
    lines.collect()
}

/// Counters of gateways that tell of updates: of one resource each, but of clusters and listeners of one response each.
const UPDATES: [(&str, &str, &str); 5] = [
    ("cluster", "cluster_manager.cds.", "update_success"),
    ("listener", "listener_manager.lds.", "update_success"),
    ("route", "http.", "update_success"),
    ("endpoint", "cluster.", "update_success"),
    ("extension", "extension_config_discovery.", "update_success"),
];

/// Counters of gateways that tell of resources that were other than before.
const CHANGES: [(&str, &str, &str); 6] = [
    ("cluster", "cluster_manager.", "cluster_added"),
    ("cluster", "cluster_manager.", "cluster_modified"),
    ("listener", "listener_manager.", "listener_added"),
    ("listener", "listener_manager.", "listener_modified"),
    ("route", "http.", "config_reload"),
    ("extension", "extension_config_discovery.", "config_reload"),
];

const FILTER: &str = "update_success$|config_reload$|cluster_added$|cluster_modified$|listener_added$|listener_modified$";

/// Counters of all gateways, by name.
#[derive(Debug)]
pub struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// The counters of now.
    pub async fn read(world: &World) -> Result<Self> {
        let path = format!("/stats?filter={}", FILTER.replace('|', "%7C"));
        let mut counters = BTreeMap::new();
        for region in REGIONS {
            let page = world.gateway(region).admin(&path).await?;
            for (name, value) in page.lines().filter_map(|line| line.split_once(": ")) {
                counters.insert(format!("{region} {name}"), value.parse()?);
            }
        }
        Ok(Self(counters))
    }

    /// What has come to them. Counters of clusters that are gone are gone as well.
    pub fn since(&self, before: &Self) -> Changes {
        let added = |table: &[(&'static str, &str, &str)]| {
            let mut sums = BTreeMap::new();
            for (name, value) in &self.0 {
                let more = value.saturating_sub(before.0.get(name).copied().unwrap_or_default());
                let (_, name) = name.split_once(' ').unwrap_or_default();
                let kind = table
                    .iter()
                    .find(|(_, start, end)| name.starts_with(start) && name.ends_with(end));
                if let Some((kind, ..)) = kind.filter(|_| more > 0) {
                    *sums.entry(*kind).or_default() += more as usize;
                }
            }
            sums
        };
        Changes {
            updates: added(&UPDATES),
            changed: added(&CHANGES),
        }
    }
}

/// What gateways have taken, by type.
#[derive(Debug)]
pub struct Changes {
    updates: BTreeMap<&'static str, usize>,
    /// Resources that were other than before.
    changed: BTreeMap<&'static str, usize>,
}

impl Changes {
    /// Types of which any gateway has taken anything.
    pub fn kinds(&self) -> BTreeSet<String> {
        self.updates.keys().map(|kind| (*kind).to_owned()).collect()
    }

    /// How many of the resources that were sent were as before. Endpoints are left out: a cluster that has changed waits for its own again.
    pub fn unchanged(&self, pushes: &Pushes) -> usize {
        let sent = pushes.0.iter().filter(|(kind, _)| *kind != "endpoint");
        sent.map(|(kind, sent)| {
            let changed = self.changed.get(kind.as_str()).copied().unwrap_or_default();
            sent.saturating_sub(changed)
        })
        .sum()
    }
}

impl fmt::Display for Pushes {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:?}", self.0)
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:?} by {:?}", self.changed, self.updates)
    }
}
