//! Reads a message of Envoy's `MetricsService`.
//!
//! Envoy sends one family per series. Most are skipped by name, before they are decoded.

use super::message;
use super::names::{self, Names};
use super::totals::{self, Total};
use crate::collect::refused::{RefusalReason, Refusals, Refused};
use crate::collect::value::{self, MOST_COUNTED, MOST_REQUESTS, Parts};
use crate::name;
use bytes::Bytes;
use envoy_types::pb::io::prometheus::client::{
    Histogram as EnvoyHistogram, Metric, MetricFamily, MetricType,
};
use meridian_planner::signal::{AttemptCounts, PeerCheckCounts, Reading};
use meridian_policy::filter_policy::Lane;
use meridian_policy::{ModelName, RegionName, ZoneName};
use prost::DecodeError;
use std::collections::BTreeMap;

pub(super) const ATTEMPTS: &str = "wasmcustom.meridian_attempts";
pub(super) const FIRST_TOKEN: &str = "wasmcustom.meridian_first_token_ms";
pub(super) const FAILURES: &str = "wasmcustom.meridian_failures";
/// The failure of a server that does not have the model, in the label `what` of [`FAILURES`].
const NO_MODEL: &str = "no_model";
pub(super) const MISMATCHED: &str = "wasmcustom.meridian_mismatched";
pub(super) const MISPLACED: &str = "wasmcustom.meridian_misplaced";
pub(super) const HEALTHY: &str = "cluster.membership_healthy";
pub(super) const MEMBERS: &str = "cluster.membership_total";
/// Number of clusters that are new, or replace one of their name, and are not in use before their first health checks.
pub(super) const WARMING: &str = "cluster_manager.warming_clusters";
/// Health checks of a cluster's endpoints. A network failure is a failure too.
pub(in crate::collect) const CHECKS_PASSED: &str = "cluster.health_check.success";
pub(in crate::collect) const CHECKS_FAILED: &str = "cluster.health_check.failure";
pub(in crate::collect) const CHECKS_UNANSWERED: &str = "cluster.health_check.network_failure";
/// Certificates that Envoy refused, by the reason.
pub(in crate::collect) const CERTIFICATE_ERRORS: [&str; 3] = [
    "cluster.ssl.fail_verify_error",
    "cluster.ssl.fail_verify_san",
    "cluster.ssl.fail_verify_no_cert",
];
pub(in crate::collect) const HANDSHAKE_ERRORS: &str = "cluster.ssl.connection_error";
/// When the certificates of listeners and clusters end.
pub(super) const CERTIFICATES: [&str; 2] = [
    "listener.ssl.certificate.expiration_unix_time_seconds",
    "cluster.ssl.certificate.expiration_unix_time_seconds",
];
pub(super) const STATE: &str = "server.state";

/// A family of metrics that is read.
struct Family {
    name: &'static str,
    kind: MetricType,
    take: fn(&mut Message<'_>, &Metric) -> Result<(), RefusalReason>,
}

const FAMILIES: [Family; 18] = [
    Family {
        name: ATTEMPTS,
        kind: MetricType::Counter,
        take: |message, metric| message.attempts(metric),
    },
    Family {
        name: FIRST_TOKEN,
        kind: MetricType::Histogram,
        take: |message, metric| message.first_token(metric),
    },
    Family {
        name: FAILURES,
        kind: MetricType::Counter,
        take: |message, metric| message.failures(metric),
    },
    Family {
        name: MISPLACED,
        kind: MetricType::Counter,
        take: |message, metric| message.misplaced(metric),
    },
    Family {
        name: MISMATCHED,
        kind: MetricType::Counter,
        take: |message, metric| message.mismatched(metric),
    },
    Family {
        name: HEALTHY,
        kind: MetricType::Gauge,
        take: |message, metric| message.endpoints(metric, |members| &mut members.healthy),
    },
    Family {
        name: MEMBERS,
        kind: MetricType::Gauge,
        take: |message, metric| {
            message.dns_addresses(metric)?;
            message.endpoints(metric, |members| &mut members.total)
        },
    },
    Family {
        name: WARMING,
        kind: MetricType::Gauge,
        take: |message, metric| message.warming(metric),
    },
    Family {
        name: STATE,
        kind: MetricType::Gauge,
        take: |message, metric| message.state(metric),
    },
    Family {
        name: CHECKS_PASSED,
        kind: MetricType::Counter,
        take: |message, metric| message.peer_checks(metric, |checks| &mut checks.passed),
    },
    Family {
        name: CHECKS_FAILED,
        kind: MetricType::Counter,
        take: |message, metric| message.peer_checks(metric, |checks| &mut checks.failed),
    },
    Family {
        name: CHECKS_UNANSWERED,
        kind: MetricType::Counter,
        take: |message, metric| message.peer_checks(metric, |checks| &mut checks.unanswered),
    },
    Family {
        name: CERTIFICATE_ERRORS[0],
        kind: MetricType::Counter,
        take: |message, metric| {
            message.peer_checks(metric, |checks| &mut checks.refused_certificates)
        },
    },
    Family {
        name: CERTIFICATE_ERRORS[1],
        kind: MetricType::Counter,
        take: |message, metric| {
            message.peer_checks(metric, |checks| &mut checks.refused_certificates)
        },
    },
    Family {
        name: CERTIFICATE_ERRORS[2],
        kind: MetricType::Counter,
        take: |message, metric| {
            message.peer_checks(metric, |checks| &mut checks.refused_certificates)
        },
    },
    Family {
        name: CERTIFICATES[0],
        kind: MetricType::Gauge,
        take: |message, metric| message.certificate(metric),
    },
    Family {
        name: CERTIFICATES[1],
        kind: MetricType::Gauge,
        take: |message, metric| message.certificate_to_control_plane(metric),
    },
    Family {
        name: HANDSHAKE_ERRORS,
        kind: MetricType::Counter,
        take: |message, metric| message.peer_checks(metric, |checks| &mut checks.failed_handshakes),
    },
];

/// From this `server.state` on (`PRE_INITIALIZING`) an Envoy is still starting.
const STARTING: f64 = 2.0;

const CLUSTER: &str = "envoy.cluster_name";
const CERTIFICATE: &str = "envoy.tls_certificate";
/// The latest end of a certificate that is taken, in seconds since the Unix epoch: the year 10000.
const LATEST_END: f64 = 253_402_300_800.0;
const SECONDS_PER_MILLISECOND: f64 = 1e-3;

/// What a message says.
pub(super) struct Taken {
    pub readings: Vec<Reading>,
    pub refused: Vec<Refused>,
    /// When certificates end, by name.
    pub certificates: BTreeMap<String, i64>,
}

/// Reads the families of one message of a gateway in `region`. Adds its histograms to `total`.
///
/// # Errors
///
/// A family that is read is malformed.
pub(super) fn read(
    families: Vec<Bytes>,
    region: &RegionName,
    names: &Names,
    total: &mut Total,
) -> Result<Taken, DecodeError> {
    let families = message::decode(families, |name| known(name).is_some())?;
    let mut message = Message {
        region,
        names,
        total,
        refusals: Refusals::default(),
        attempts: BTreeMap::new(),
        endpoints: BTreeMap::new(),
        is_starting: false,
        is_warming: false,
        peer_checks: BTreeMap::new(),
        dns_names: Vec::new(),
        first_tokens: Vec::new(),
        missing_models: Vec::new(),
        mismatches: None,
        misplaced: Vec::new(),
        certificates: BTreeMap::new(),
    };
    for family in &families {
        let Some(known) = known(family.name().as_bytes()) else {
            continue;
        };
        match family.r#type() {
            kind if kind == known.kind => message.each(family, known),
            // Envoy sends histograms as summaries too, unless its sink is configured otherwise.
            MetricType::Summary if known.kind == MetricType::Histogram => {}
            other => message.refuse_type(known.name, other),
        }
    }
    Ok(message.finish())
}

fn known(name: &[u8]) -> Option<&'static Family> {
    FAMILIES.iter().find(|known| known.name.as_bytes() == name)
}

/// Prefix of the label `to` in which the filter names a hosted provider.
const PROVIDER: &str = "fallback/";

type Attempted = (ZoneName, ModelName, Lane, RegionName);

/// Numbers of a cluster's endpoints, as far as they are known.
#[derive(Default)]
struct Members {
    healthy: Option<f64>,
    total: Option<f64>,
}

/// Counters of the clusters of one peer.
#[derive(Default)]
struct PeerChecks {
    passed: f64,
    failed: f64,
    /// Part of `failed`.
    unanswered: f64,
    refused_certificates: f64,
    failed_handshakes: f64,
}

struct Message<'m> {
    region: &'m RegionName,
    names: &'m Names,
    total: &'m mut Total,
    refusals: Refusals,
    attempts: BTreeMap<Attempted, AttemptCounts>,
    endpoints: BTreeMap<ModelName, Members>,
    is_starting: bool,
    is_warming: bool,
    peer_checks: BTreeMap<RegionName, PeerChecks>,
    dns_names: Vec<Reading>,
    first_tokens: Vec<Reading>,
    missing_models: Vec<Reading>,
    mismatches: Option<f64>,
    misplaced: Vec<Reading>,
    certificates: BTreeMap<String, i64>,
}

impl Message<'_> {
    fn each(&mut self, family: &MetricFamily, known: &Family) {
        // Responses of providers count for the gateway's own statistics only, not for the health of a region.
        let is_relevant = |metric: &&Metric| {
            let mut labels = metric.label.iter();
            known.name == MISPLACED
                || !labels.any(|it| it.name() == "to" && it.value().starts_with(PROVIDER))
        };
        for metric in family.metric.iter().filter(is_relevant) {
            if let Err(why) = (known.take)(self, metric) {
                let labels = metric.label.iter();
                let labels = labels.map(|it| format!("{}={}", it.name(), it.value()));
                let example = labels.collect::<Vec<_>>().join(" ");
                self.refusals.add(known.name, why, &example);
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
            "overloaded" | "late" => |counts| &mut counts.overloaded,
            "failed" | "unanswered" => |counts| &mut counts.failed,
            // Counted as answered too, when it began.
            "broken" => |counts| &mut counts.broken,
            // Counted as answered too; the caller may have stopped reading. And a caller that left has reasons of its own.
            "stalled" | "left" => return Ok(()),
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

    /// Other failures are for people: the attempts that failed are counted anyway.
    fn failures(&mut self, metric: &Metric) -> Result<(), RefusalReason> {
        if label(metric, "what")? != NO_MODEL {
            return Ok(());
        }
        let counter = metric.counter.as_ref().ok_or(RefusalReason::WrongType)?;
        self.missing_models.push(Reading::MissingModel {
            model: self.names.model(label(metric, "model")?)?,
            to: self.names.region(label(metric, "to")?)?,
            answers: value::amount(counter.value(), MOST_COUNTED)?,
        });
        Ok(())
    }

    fn mismatched(&mut self, metric: &Metric) -> Result<(), RefusalReason> {
        let counter = metric.counter.as_ref().ok_or(RefusalReason::WrongType)?;
        let requests = value::amount(counter.value(), MOST_COUNTED)?;
        *self.mismatches.get_or_insert(0.0) += requests;
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
            .push(Reading::JurisdictionViolations { fallback, answers });
        Ok(())
    }

    fn state(&mut self, metric: &Metric) -> Result<(), RefusalReason> {
        let gauge = metric.gauge.as_ref().ok_or(RefusalReason::WrongType)?;
        self.is_starting = value::amount(gauge.value(), MOST_REQUESTS)? >= STARTING;
        Ok(())
    }

    fn warming(&mut self, metric: &Metric) -> Result<(), RefusalReason> {
        let gauge = metric.gauge.as_ref().ok_or(RefusalReason::WrongType)?;
        self.is_warming = value::amount(gauge.value(), MOST_REQUESTS)? > 0.0;
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

    /// What the name of a pool has: the members of the cluster that only resolves it.
    fn dns_addresses(&mut self, metric: &Metric) -> Result<(), RefusalReason> {
        let Some(model) = self.names.dns(self.region, label(metric, CLUSTER)?) else {
            return Ok(());
        };
        let gauge = metric.gauge.as_ref().ok_or(RefusalReason::WrongType)?;
        // A whole number below a million, so nothing is lost.
        let addresses = value::amount(gauge.value(), MOST_REQUESTS)? as u64;
        let model = model.clone();
        self.dns_names.push(Reading::Name { model, addresses });
        Ok(())
    }

    fn peer_checks(
        &mut self,
        metric: &Metric,
        place: fn(&mut PeerChecks) -> &mut f64,
    ) -> Result<(), RefusalReason> {
        let Some(peer) = self.names.peer(label(metric, CLUSTER)?) else {
            return Ok(());
        };
        let counter = metric.counter.as_ref().ok_or(RefusalReason::WrongType)?;
        let count = value::amount(counter.value(), MOST_COUNTED)?;
        *place(self.peer_checks.entry(peer.clone()).or_default()) += count;
        Ok(())
    }

    /// The first end of those of one name.
    fn certificate(&mut self, metric: &Metric) -> Result<(), RefusalReason> {
        let name = label(metric, CERTIFICATE)?;
        if ![name::GATEWAY, name::AUTHORITY, name::PUBLIC].contains(&name) {
            return Ok(());
        }
        let gauge = metric.gauge.as_ref().ok_or(RefusalReason::WrongType)?;
        // A whole number below 2^53, so nothing is lost.
        let ends = value::amount(gauge.value(), LATEST_END)? as i64;
        self.certificates
            .entry(name.to_owned())
            .and_modify(|first| *first = ends.min(*first))
            .or_insert(ends);
        Ok(())
    }

    /// Clusters of peers have the same certificates as the peer listener.
    fn certificate_to_control_plane(&mut self, metric: &Metric) -> Result<(), RefusalReason> {
        if label(metric, CLUSTER)? == name::CONTROL_PLANE {
            self.certificate(metric)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Taken {
        let mut readings = Vec::new();
        // No endpoint is healthy before its first health check. A cluster shares the statistics of the one that it replaces,
        // which serves until then. Envoy does not report its initial clusters as warming.
        let checked = |members: &Members| {
            !self.is_starting && !(self.is_warming && members.healthy == Some(0.0))
        };
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
        let peer_checks = self.peer_checks.into_iter();
        readings.extend(peer_checks.map(|(to, checks)| Reading::PeerChecks {
            to,
            counts: PeerCheckCounts {
                answered: checks.passed + (checks.failed - checks.unanswered).max(0.0),
                unanswered: checks.unanswered,
                refused_certificates: checks.refused_certificates,
                failed_handshakes: checks.failed_handshakes,
            },
        }));
        readings.append(&mut self.dns_names);
        readings.append(&mut self.first_tokens);
        readings.append(&mut self.missing_models);
        let mismatches = self.mismatches;
        readings.extend(mismatches.map(|requests| Reading::Mismatches { requests }));
        readings.append(&mut self.misplaced);
        Taken {
            readings,
            refused: self.refusals.into_vec(),
            certificates: self.certificates,
        }
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
