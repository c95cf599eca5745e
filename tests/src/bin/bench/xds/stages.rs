//! The stages of a run, one after the other on the same control plane.

use super::Arguments;
use super::control_plane::{ControlPlane, Taken};
use super::fleet::Fleet;
use super::health::Health;
use super::reports::Reports;
use super::source::Source;
use super::swarm::Swarm;
use super::waves::{GAP, Wave, percentile};
use crate::report::Report;
use anyhow::{Context, Result};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Until memory and processor time are looked at.
const REST: Duration = Duration::from_secs(3);
/// How long nothing must come before the next measurement, and how long that is waited for.
const QUIET: Duration = Duration::from_secs(4);
const UNQUIET: Duration = Duration::from_secs(40);
/// How long statistics are sent.
const REPORTING: Duration = Duration::from_secs(15);

/// Everything that runs.
pub struct Stages {
    pub arguments: Arguments,
    pub fleet: Fleet,
    pub source: Source,
    pub control_plane: ControlPlane,
    pub health: Health,
    pub swarm: Swarm,
}

impl Stages {
    /// Runs the stages that are wanted.
    pub async fn run(mut self, report: &mut Report) -> Result<()> {
        let Arguments {
            streams,
            idle_streams,
            ..
        } = self.arguments;
        let wants = |stage| self.arguments.wants(stage);
        let wanted = [
            "hot",
            "renewals",
            "reconnect",
            "slow",
            "reports",
            "idle",
            "shutdown",
        ];
        let [hot, renewals, reconnect, slowness, reports, idle, shutdown] = wanted.map(wants);
        self.health(report, "the start");
        self.storm(report).await?;
        let columns = [
            "what",
            "gateways",
            "p50",
            "p99",
            "max",
            "the last of each wave: median",
            "bytes",
        ];
        if hot || renewals || slowness {
            report.table(
                &format!("Changes, {streams} streams: time to the ACK"),
                &columns,
            );
        }
        if hot {
            self.hot(report, "a pool turns hot").await?;
        }
        if renewals {
            self.renewals(report, "renewal of the lease").await?;
        }
        if slowness {
            self.slow(report).await?;
        }
        if reconnect {
            self.reconnect(report).await?;
        }
        if reports {
            self.reports(report).await?;
        }
        if idle {
            self.swarm.resize(idle_streams).await?;
            self.quiet().await;
            self.idle(report).await?;
            self.swarm.resize(streams).await?;
        }
        if shutdown {
            self.shutdown(report).await?;
        }
        Ok(())
    }

    /// The same changes while some never read.
    async fn slow(&mut self, report: &mut Report) -> Result<()> {
        let slow = self.arguments.slow;
        self.swarm.slow_down(slow);
        self.quiet().await;
        let what = format!("one in {slow} never reads");
        let hot = format!("a pool turns hot, {what}");
        self.hot(report, &hot).await?;
        self.renewals(report, &format!("renewal, {what}")).await?;
        let taken = self.control_plane.taken()?;
        let memory = taken.memory / 1024.0;
        report.line(&format!("\nMemory with them: {memory:.0} MiB."));
        self.health(report, &what);
        self.swarm.slow_down(0);
        self.quiet().await;
        Ok(())
    }

    fn health(&self, report: &mut Report, during: &str) {
        let took = self.health.since();
        let (p99, max) = (percentile(took.clone(), 99), percentile(took, 100));
        report.line(&format!(
            "\n`/healthz` during {during}: p99 {p99:.1} ms, max {max:.1} ms."
        ));
    }

    /// Waits until nothing comes for a while.
    async fn quiet(&self) {
        let begun = Instant::now();
        let mut silent_since = begun;
        self.swarm.events();
        while silent_since.elapsed() < QUIET && begun.elapsed() < UNQUIET {
            sleep(Duration::from_millis(100)).await;
            if !self.swarm.events().is_empty() {
                silent_since = Instant::now();
            }
        }
        self.health.since();
    }

    async fn storm(&mut self, report: &mut Report) -> Result<()> {
        // The first renewal of the lease is behind it: what the process keeps for each publication is not due to streams.
        sleep(Duration::from_secs(self.arguments.lease / 3) + REST).await;
        let streams = self.arguments.streams;
        let before = self.control_plane.taken()?;
        let took = self.swarm.resize(streams).await?;
        let bytes = self.swarm.bytes();
        self.quiet_memory(report, before, took, bytes, streams)
            .await
    }

    async fn quiet_memory(
        &self,
        report: &mut Report,
        before: Taken,
        took: Duration,
        bytes: u64,
        streams: usize,
    ) -> Result<()> {
        let first = self.control_plane.taken()?;
        sleep(REST).await;
        let after = self.control_plane.taken()?;
        let columns = [
            "streams",
            "until all have all",
            "CPU",
            "bytes",
            "memory before",
            "after",
            "per stream",
        ];
        report.table("Connect storm", &columns);
        report.line(&format!(
            "| {streams} | {:.2} s | {:.2} s | {} MiB | {:.0} MiB | {:.0} MiB | {:.0} KiB |",
            took.as_secs_f64(),
            first.cpu - before.cpu,
            bytes >> 20,
            before.memory / 1024.0,
            after.memory / 1024.0,
            (after.memory - before.memory) / streams as f64,
        ));
        self.health(report, "the storm");
        Ok(())
    }

    async fn hot(&self, report: &mut Report, what: &str) -> Result<()> {
        let mut waves = Vec::new();
        for number in 0..self.arguments.hot {
            self.quiet().await;
            let region = number % self.fleet.regions();
            let model = number % self.arguments.models;
            let read = self.source.heat(region, model).await;
            let wave = self.next_wave(read).await.context(what.to_owned())?;
            waves.push((read, wave));
            self.source.cool(region);
        }
        row(report, what, &waves);
        Ok(())
    }

    async fn renewals(&self, report: &mut Report, what: &str) -> Result<()> {
        let mut waves = Vec::new();
        while waves.len() < self.arguments.renewals {
            self.quiet().await;
            let wave = self
                .next_wave(Instant::now())
                .await
                .context(what.to_owned())?;
            // A plan that concerns some gateways is no renewal.
            if wave.reached() == self.swarm.readers() {
                waves.push((wave.begun, wave));
            }
        }
        row(report, what, &waves);
        Ok(())
    }

    /// The first wave after a moment.
    async fn next_wave(&self, after: Instant) -> Result<Wave> {
        let begun = Instant::now();
        let mut events = Vec::new();
        loop {
            sleep(Duration::from_millis(20)).await;
            events.extend(self.swarm.events());
            events.retain(|event| event.received > after);
            let last = events.iter().map(|event| event.received).max();
            if last.is_some_and(|last| last.elapsed() > GAP) {
                let wave = Wave::of(events).into_iter().next();
                return wave.context("no wave");
            }
            let patience = Duration::from_secs(2 * self.arguments.lease + 60);
            anyhow::ensure!(begun.elapsed() < patience, "nothing was sent");
        }
    }

    async fn reconnect(&mut self, report: &mut Report) -> Result<()> {
        self.quiet().await;
        let (bytes, before) = (self.swarm.bytes(), self.control_plane.taken()?);
        let begun = Instant::now();
        self.swarm.reconnect();
        sleep(REST).await;
        let events = self.swarm.events();
        let last = events.iter().map(|event| event.acked).max();
        let took = last.map_or(0.0, |last| (last - begun).as_secs_f64());
        let after = self.control_plane.taken()?;
        report.table(
            "Reconnect of all, with their versions",
            &["", "responses", "bytes", "the last after", "CPU"],
        );
        report.line(&format!(
            "| {} streams | {} | {} KiB | {took:.2} s | {:.2} s |",
            self.swarm.readers(),
            events.len(),
            (self.swarm.bytes() - bytes) >> 10,
            after.cpu - before.cpu,
        ));
        self.health(report, "it");
        Ok(())
    }

    /// What the statistics of all gateways cost.
    async fn reports(&mut self, report: &mut Report) -> Result<()> {
        let columns = [
            "streams",
            "KiB each",
            "taken in a second",
            "of a core without them",
            "with them",
            "for one",
        ];
        report.table("Statistics of gateways", &columns);
        self.quiet().await;
        let before = self.control_plane.taken()?;
        sleep(REPORTING).await;
        let without = self.control_plane.taken()?.cpu - before.cpu;
        let streams = self.arguments.streams;
        let fleet = (self.fleet.regions(), self.arguments.models);
        let mut reports = Reports::start(self.fleet.xds(), self.swarm.clusters(), fleet, streams);
        sleep(REST).await;
        self.health.since();
        let (before, first) = (self.control_plane.taken()?, reports.sent().await?);
        sleep(REPORTING).await;
        let (after, last) = (self.control_plane.taken()?, reports.sent().await?);
        let (with, sent) = (after.cpu - before.cpu, (last - first) as f64);
        let seconds = REPORTING.as_secs_f64();
        report.line(&format!(
            "| {streams} | {} | {:.0} | {:.1} % | {:.1} % | {:.2} ms |",
            reports.bytes >> 10,
            sent / seconds,
            without / seconds * 100.0,
            with / seconds * 100.0,
            (with - without) / sent * 1e3,
        ));
        self.health(report, "it");
        Ok(())
    }

    async fn idle(&self, report: &mut Report) -> Result<()> {
        let seconds = self.arguments.idle;
        let (bytes, before) = (self.swarm.bytes(), self.control_plane.taken()?);
        sleep(Duration::from_secs(seconds)).await;
        let after = self.control_plane.taken()?;
        report.table("Idle", &["streams", "of a core", "bytes in a second"]);
        report.line(&format!(
            "| {} | {:.1} % | {} |",
            self.swarm.readers(),
            (after.cpu - before.cpu) / seconds as f64 * 100.0,
            (self.swarm.bytes() - bytes) / seconds,
        ));
        self.health(report, "it");
        Ok(())
    }

    async fn shutdown(&mut self, report: &mut Report) -> Result<()> {
        self.swarm.ended();
        let took = self.control_plane.stop().await?;
        sleep(Duration::from_secs(1)).await;
        let ended = self.swarm.ended();
        let good = ended
            .iter()
            .filter(|ended| *ended == "without an error")
            .count();
        report.line(&format!(
            "\nShutdown: {:.2} s; {good} of {} streams ended without an error.",
            took.as_secs_f64(),
            self.swarm.readers(),
        ));
        Ok(())
    }
}

fn row(report: &mut Report, what: &str, waves: &[(Instant, Wave)]) {
    let all: Vec<Duration> = waves
        .iter()
        .flat_map(|(since, wave)| wave.took(*since))
        .collect();
    let last = waves.iter().map(|(since, wave)| {
        let took = wave.took(*since).into_iter();
        took.max().unwrap_or_default()
    });
    let reached = waves.iter().map(|(_, wave)| wave.reached()).min();
    let contents = waves.first().map(|(_, wave)| wave.contents());
    report.line(&format!(
        "| {what}, {} times | {} ({}) | {:.0} ms | {:.0} ms | {:.0} ms | {:.0} ms | {} KiB |",
        waves.len(),
        reached.unwrap_or_default(),
        contents.unwrap_or_default(),
        percentile(all.clone(), 50),
        percentile(all.clone(), 99),
        percentile(all, 100),
        percentile(last.collect(), 50),
        waves.iter().map(|(_, wave)| wave.bytes).sum::<usize>() / waves.len().max(1) / 1024,
    ));
}
