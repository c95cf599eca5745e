//! A message of Envoy's `MetricsService`, as readings.
//!
//! Envoy makes a family of its own for every series, so most of the work is to pass over names.

use super::names::{self, Names};
use super::totals::{self, Total};
use crate::collect::refused::{RefusalReason, Refusals, Refused};
use crate::collect::value::{self, MOST_COUNTED, MOST_REQUESTS, Parts};
use envoy_types::pb::io::prometheus::client::{
    Histogram as EnvoyHistogram, Metric, MetricFamily, MetricType,
};
use meridian_policy::filter_policy::Lane;
use meridian_policy::signal::{AttemptCounts, Reading};
use meridian_policy::{ModelName, RegionName, ZoneName};
use std::collections::BTreeMap;

pub(super) const ATTEMPTS: &str = "wasmcustom.meridian_attempts";
pub(super) const FIRST_TOKEN: &str = "wasmcustom.meridian_first_token_ms";
pub(super) const MISPLACED: &str = "wasmcustom.meridian_misplaced";
pub(super) const HEALTHY: &str = "cluster.membership_healthy";
pub(super) const MEMBERS: &str = "cluster.membership_total";
pub(super) const WARMING: &str = "cluster.warming_state";
pub(super) const STATE: &str = "server.state";

/// From this `server.state` on (`PRE_INITIALIZING`) an Envoy is still starting.
const STARTING: f64 = 2.0;

const CLUSTER: &str = "envoy.cluster_name";
const SECONDS_PER_MILLISECOND: f64 = 1e-3;

/// Reads one message of a gateway of `region`; adds its histograms to `total`.
pub(super) fn read(
    families: Vec<MetricFamily>,
    region: &RegionName,
    names: &Names,
    total: &mut Total,
) -> (Vec<Reading>, Vec<Refused>) {
    let mut message = Message {
        region,
        names,
        total,
        refusals: Refusals::default(),
        attempts: BTreeMap::new(),
        endpoints: BTreeMap::new(),
        is_starting: false,
        first_tokens: Vec::new(),
        misplaced: Vec::new(),
    };
    for family in &families {
        match (family.name(), family.r#type()) {
            (ATTEMPTS, MetricType::Counter) => message.each(family, ATTEMPTS, Message::attempts),
            (FIRST_TOKEN, MetricType::Histogram) => {
                message.each(family, FIRST_TOKEN, Message::first_token);
            }
            // Envoy tells a histogram as a summary as well, unless its sink is told not to.
            (FIRST_TOKEN, MetricType::Summary) => {}
            (MISPLACED, MetricType::Counter) => message.each(family, MISPLACED, Message::misplaced),
            (HEALTHY, MetricType::Gauge) => message.each(family, HEALTHY, Message::healthy),
            (MEMBERS, MetricType::Gauge) => message.each(family, MEMBERS, Message::members),
            (WARMING, MetricType::Gauge) => message.each(family, WARMING, Message::warming),
            (STATE, MetricType::Gauge) => message.each(family, STATE, Message::state),
            (ATTEMPTS, other) => message.refuse_type(ATTEMPTS, other),
            (FIRST_TOKEN, other) => message.refuse_type(FIRST_TOKEN, other),
            (MISPLACED, other) => message.refuse_type(MISPLACED, other),
            (HEALTHY, other) => message.refuse_type(HEALTHY, other),
            (MEMBERS, other) => message.refuse_type(MEMBERS, other),
            (WARMING, other) => message.refuse_type(WARMING, other),
            (STATE, other) => message.refuse_type(STATE, other),
            _ => {}
        }
    }
    message.finish()
}

/// How the filter calls a hosted provider.
const PROVIDER: &str = "fallback/";

type Attempted = (ZoneName, ModelName, Lane, RegionName);

/// Endpoints of a cluster, as far as they were told.
#[derive(Default)]
struct Members {
    healthy: Option<f64>,
    total: Option<f64>,
    warming: Option<f64>,
}

impl Members {
    /// Until a cluster's first health checks are done none of its endpoints is healthy, and that says nothing.
    fn is_unchecked(&self) -> bool {
        self.warming.is_some_and(|warming| warming > 0.0)
    }
}

struct Message<'m> {
    region: &'m RegionName,
    names: &'m Names,
    total: &'m mut Total,
    refusals: Refusals,
    attempts: BTreeMap<Attempted, AttemptCounts>,
    endpoints: BTreeMap<ModelName, Members>,
    is_starting: bool,
    first_tokens: Vec<Reading>,
    misplaced: Vec<Reading>,
}

impl Message<'_> {
    fn each(
        &mut self,
        family: &MetricFamily,
        name: &'static str,
        take: fn(&mut Self, &Metric) -> Result<(), RefusalReason>,
    ) {
        // How a provider answers is in the gateway's own statistics; no region is the better or worse for it.
        let is_of_interest = |metric: &&Metric| {
            let mut labels = metric.label.iter();
            name == MISPLACED
                || !labels.any(|it| it.name() == "to" && it.value().starts_with(PROVIDER))
        };
        for metric in family.metric.iter().filter(is_of_interest) {
            if let Err(why) = take(self, metric) {
                let labels = metric.label.iter();
                let labels = labels.map(|it| format!("{}={}", it.name(), it.value()));
                let example = labels.collect::<Vec<_>>().join(" ");
                self.refusals.add(name, why, &example);
            }
        }
    }

    fn refuse_type(&mut self, name: &'static str, kind: MetricType) {
        self.refusals
            .add(name, RefusalReason::WrongType, &kind.as_str_name());
    }

    fn attempts(&mut self, metric: &Metric) -> Result<(), RefusalReason> {
        let counter = metric.counter.as_ref().ok_or(RefusalReason::WrongType)?;
        let count = value::amount(counter.value(), MOST_COUNTED)?;
        let key = (
            self.names.zone(label(metric, "zone")?)?,
            self.names.model(label(metric, "model")?)?,
            names::lane(label(metric, "lane")?)?,
            self.names.region(label(metric, "to")?)?,
        );
        let outcome = label(metric, "outcome")?;
        let place: fn(&mut AttemptCounts) -> &mut f64 = match outcome {
            "answered" => |counts| &mut counts.answered,
            // Whoever went away may have had other reasons: no failure.
            "overloaded" | "unanswered" => |counts| &mut counts.overloaded,
            // The one that was begun was counted as answered.
            "failed" | "broken" => |counts| &mut counts.failed,
            // As well, and its caller may have stopped to read.
            "stalled" => return Ok(()),
            _ => return Err(RefusalReason::UnknownName),
        };
        *place(self.attempts.entry(key).or_default()) += count;
        Ok(())
    }

    fn first_token(&mut self, metric: &Metric) -> Result<(), RefusalReason> {
        let histogram = metric.histogram.as_ref().ok_or(RefusalReason::WrongType)?;
        let since = parts(histogram).assemble(SECONDS_PER_MILLISECOND)?;
        let model = self.names.model(label(metric, "model")?)?;
        let to = self.names.region(label(metric, "to")?)?;
        let times = self.total.entry((model.clone(), to.clone())).or_default();
        totals::add(times, &since);
        let times = times.clone();
        self.first_tokens
            .push(Reading::FirstToken { model, to, times });
        Ok(())
    }

    fn misplaced(&mut self, metric: &Metric) -> Result<(), RefusalReason> {
        let counter = metric.counter.as_ref().ok_or(RefusalReason::WrongType)?;
        let answers = value::amount(counter.value(), MOST_COUNTED)?;
        let fallback = label(metric, "to")?.strip_prefix(PROVIDER);
        let fallback = self
            .names
            .fallback(fallback.ok_or(RefusalReason::UnknownName)?)?;
        self.misplaced
            .push(Reading::Misplaced { fallback, answers });
        Ok(())
    }

    fn healthy(&mut self, metric: &Metric) -> Result<(), RefusalReason> {
        self.endpoints(metric, |members| &mut members.healthy)
    }

    fn members(&mut self, metric: &Metric) -> Result<(), RefusalReason> {
        self.endpoints(metric, |members| &mut members.total)
    }

    fn warming(&mut self, metric: &Metric) -> Result<(), RefusalReason> {
        self.endpoints(metric, |members| &mut members.warming)
    }

    fn state(&mut self, metric: &Metric) -> Result<(), RefusalReason> {
        let gauge = metric.gauge.as_ref().ok_or(RefusalReason::WrongType)?;
        self.is_starting = value::amount(gauge.value(), MOST_REQUESTS)? >= STARTING;
        Ok(())
    }

    fn endpoints(
        &mut self,
        metric: &Metric,
        place: fn(&mut Members) -> &mut Option<f64>,
    ) -> Result<(), RefusalReason> {
        let Some(model) = self.names.pool(self.region, label(metric, CLUSTER)?) else {
            return Ok(());
        };
        let gauge = metric.gauge.as_ref().ok_or(RefusalReason::WrongType)?;
        let count = value::amount(gauge.value(), MOST_REQUESTS)?;
        *place(self.endpoints.entry(model.clone()).or_default()) = Some(count);
        Ok(())
    }

    fn finish(mut self) -> (Vec<Reading>, Vec<Refused>) {
        let mut readings = Vec::new();
        // Clusters that a start begins with are not said to be warming.
        let checked = |members: &Members| !self.is_starting && !members.is_unchecked();
        let endpoints = self.endpoints.into_iter();
        for (model, members) in endpoints.filter(|(_, members)| checked(members)) {
            match (members.healthy, members.total) {
                (Some(healthy), Some(total)) if healthy <= total => {
                    readings.push(Reading::Endpoints {
                        model,
                        // Whole numbers below a million, so nothing is lost.
                        healthy: healthy as u64,
                        total: total as u64,
                    });
                }
                _ => self
                    .refusals
                    .add(HEALTHY, RefusalReason::Contradicts, &model),
            }
        }
        let attempts = self.attempts.into_iter();
        readings.extend(
            attempts.map(|((zone, model, lane, to), counts)| Reading::Attempts {
                zone,
                model,
                lane,
                to,
                counts,
            }),
        );
        readings.append(&mut self.first_tokens);
        readings.append(&mut self.misplaced);
        (readings, self.refusals.into_vec())
    }
}

fn label<'m>(metric: &'m Metric, name: &str) -> Result<&'m str, RefusalReason> {
    let label = metric.label.iter().find(|label| label.name() == name);
    label
        .map(|label| label.value())
        .ok_or(RefusalReason::MissingLabel)
}

fn parts(histogram: &EnvoyHistogram) -> Parts {
    let buckets = histogram.bucket.iter();
    Parts {
        buckets: buckets
            .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count() as f64))
            .collect(),
        sum: histogram.sample_sum,
        count: histogram.sample_count.map(|count| count as f64),
    }
}
