//! The state of the control plane, as `meridian status` and `/metrics` show it.

mod promises;

pub use promises::{BudgetReport, FallbackPromise, ZonePromise, fallbacks, zones};

use crate::collect::{RefusalReason, Refused, ScrapeError, Scraped};
use crate::xds::{ClientStatus, Counts, Hub};
use meridian_planner::alarm::{Alarm, AlarmKind};
use meridian_planner::health::Health;
use meridian_planner::intent::Intents;
use meridian_planner::placement::Placement;
use meridian_planner::schema::{self, Model, Name};
use meridian_planner::signal::{AttemptCounts, Millis};
use meridian_planner::state::{Attempts, PoolSignals};
use meridian_policy::filter_policy::{Lane, Lease};
use meridian_policy::location::Location;
use meridian_policy::retrieval::Role;
use meridian_policy::{FallbackName, ModelName, RegionName, ZoneId, ZoneName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// The report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// When the report was made, in milliseconds since the Unix epoch.
    pub at: Millis,
    /// The version of `meridian`.
    pub version: String,
    /// The fleet file.
    pub fleet: FleetReport,
    /// Why the plan cannot be published. The previous plan stays in force and its lease is renewed.
    pub unpublished: Option<ErrorReport>,
    /// The current lease of the gateways.
    #[schema(value_type = Option<schema::Lease>)]
    pub lease: Option<Lease>,
    /// Regions with their pools and sources.
    #[schema(value_type = BTreeMap<String, RegionReport>)]
    pub regions: BTreeMap<RegionName, RegionReport>,
    /// Residency zones.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, ZonePromise>)]
    pub zones: BTreeMap<ZoneName, ZonePromise>,
    /// Hosted providers.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, FallbackPromise>)]
    pub fallbacks: BTreeMap<FallbackName, FallbackPromise>,
    /// The placement of each (zone, model) at each gateway that has a choice.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, BTreeMap<String, Placement>>>)]
    pub placements: BTreeMap<RegionName, BTreeMap<ZoneName, BTreeMap<ModelName, Placement>>>,
    /// What operators have said.
    #[serde(default)]
    pub intents: Intents,
    /// The replicas; `None` for a control plane on its own.
    #[serde(default)]
    pub replicas: Option<ReplicasReport>,
    /// The admin API for other machines; `None` if there is none.
    #[serde(default)]
    pub api: Option<ApiReport>,
    /// Connected Envoys.
    pub envoys: Vec<EnvoyReport>,
    /// The control plane's certificates, and refused handshakes.
    #[serde(default)]
    pub certificates: CertificatesReport,
    /// Alarms: conditions that need a person's attention.
    pub alarms: Vec<Alarm>,
    /// Counters since the start.
    pub counts: CountsReport,
}

/// The admin API for other machines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApiReport {
    /// Operators in force.
    pub operators: usize,
    /// Why the file of operators is not in force as it is. The operators before stay in force.
    pub error: Option<ErrorReport>,
    /// Requests that were refused since the start because their caller is no operator, by reason.
    pub refused: BTreeMap<String, u64>,
}

/// The control plane's certificates, and the handshakes that it refused. Times at which certificates end are seconds since
/// the Unix epoch by the wall clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CertificatesReport {
    /// When the control plane's certificates end: `certificate`, and each authority of the gateways as `ca <subject>`. Those of the admin
    /// API have `api ` before their names.
    pub own: BTreeMap<String, i64>,
    /// Why the files are not in force as they are. The certificates before stay in force.
    pub error: Option<ErrorReport>,
    /// Replacements since the start.
    pub reloads: u64,
    /// Handshakes that were refused since the start, by reason.
    pub refused: BTreeMap<String, u64>,
    /// The last one of them.
    pub last_refused: Option<RefusedReport>,
}

/// A handshake that was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedReport {
    /// When.
    pub at: Millis,
    /// The client's address.
    pub remote: String,
    /// Why, as in the metric.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

/// Several control planes that share a store, as one of them sees them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicasReport {
    /// The members of etcd.
    pub store: String,
    /// The name of the replica that reports.
    pub name: String,
    /// Whether the store answers it.
    pub up: bool,
    /// Since when, or since when not.
    pub since: Millis,
    /// Why it does not.
    pub error: Option<String>,
    /// Whether this replica leads.
    pub leads: bool,
    /// The one that leads, if any.
    pub leader: Option<LeaderReport>,
    /// The revision of the plan in force.
    pub revision: i64,
    /// Why the plan in force cannot be published by this one.
    pub unable: Option<String>,
    /// A hash of the versions of all that this one publishes: the same at all replicas that publish the same.
    pub published: String,
    /// All that are connected to the store.
    pub replicas: Vec<ReplicaReport>,
}

/// The replica that leads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LeaderReport {
    /// Its name.
    pub name: String,
    /// Since when it leads.
    pub since: Millis,
}

/// One replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaReport {
    /// Its name.
    pub name: String,
    /// It is the one that reports.
    #[serde(default)]
    pub own: bool,
    /// The version of `meridian`.
    pub version: String,
    /// Since when it is connected to the store, or since its last news.
    pub since: Millis,
    /// The regions whose gateways are connected to it.
    #[schema(value_type = BTreeSet<Name>)]
    pub regions: BTreeSet<RegionName>,
    /// The revision of the plan that its gateways have accepted, while the leader waits for that.
    pub settled: i64,
    /// Its fleet file is not the one in force.
    pub differs: bool,
    /// It cannot publish the plan in force.
    pub unable: bool,
}

/// The fleet file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetReport {
    /// Its path.
    pub file: String,
    /// When the fleet in force was read.
    pub since: Millis,
    /// The error of the current file. The previous fleet stays in force.
    pub error: Option<ErrorReport>,
    /// Definitions of earlier editions that are kept: requests that were decided under them may be on their way.
    #[serde(default)]
    #[schema(value_type = BTreeSet<String>)]
    pub kept: BTreeSet<ZoneId>,
}

/// An error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorReport {
    /// When it first occurred.
    pub at: Millis,
    /// The message.
    pub message: String,
}

/// A region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RegionReport {
    /// Where it is, if the fleet file says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<schema::Location>)]
    pub location: Option<Location>,
    /// Its pools.
    #[schema(value_type = BTreeMap<String, PoolReport>)]
    pub pools: BTreeMap<ModelName, PoolReport>,
    /// The freshness of its data.
    #[serde(default)]
    pub data: DataReport,
    /// The number of Envoys that share its part of the budgets; `None` if no fallback has a budget.
    #[serde(default)]
    pub budgeted: Option<u32>,
    /// Attempts that its gateways have counted.
    #[serde(default)]
    pub attempts: Vec<AttemptsReport>,
    /// Its sources, by their place in the fleet file or the node id of their gateway.
    pub sources: BTreeMap<String, SourceReport>,
}

/// A region's data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DataReport {
    /// Replication lag in seconds, if known.
    pub lag: Option<f64>,
    /// Whether the lag exceeds the limit.
    pub behind: bool,
    /// The role of its vector database; `None` if it has none.
    #[schema(value_type = Option<schema::Role>)]
    pub role: Option<Role>,
    /// The region whose vector database currently serves its retrieval.
    #[schema(value_type = Option<Name>)]
    pub serves: Option<RegionName>,
}

/// A pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolReport {
    /// Its current signals.
    pub signals: PoolSignals,
    /// Its health.
    pub health: Health,
    /// The fraction of batch requests that it accepts, in percent.
    #[serde(default)]
    pub batch: u8,
    /// Requests per second of the region's own callers with this pool as first target, by zone.
    #[schema(value_type = BTreeMap<String, f64>)]
    pub demand: BTreeMap<ZoneName, f64>,
}

/// Attempts of one kind, counted by a gateway since its start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttemptsReport {
    /// The gateway's node id.
    pub gateway: String,
    /// The callers' zone.
    #[schema(value_type = Name)]
    pub zone: ZoneName,
    /// The model.
    #[schema(value_type = Model)]
    pub model: ModelName,
    /// The lane.
    #[schema(value_type = schema::Lane)]
    pub lane: Lane,
    /// The target region.
    #[schema(value_type = Name)]
    pub to: RegionName,
    /// Their outcomes.
    pub counts: AttemptCounts,
}

/// A source of signals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SourceReport {
    /// Its URL; empty for a gateway.
    pub url: String,
    /// When it was last read successfully.
    pub heard: Option<Millis>,
    /// The last error; `None` after a successful read.
    pub error: Option<String>,
    /// Failures by kind, since the start.
    pub failures: BTreeMap<String, u64>,
    /// The refused values of the last read.
    pub refused: Vec<String>,
    /// Refused values by reason, since the start.
    pub refusals: BTreeMap<String, u64>,
    /// When the certificates of a gateway end, as its Envoy reports: seconds since the Unix epoch, by the name of the secret.
    #[serde(default)]
    pub certificates: BTreeMap<String, i64>,
}

/// A connected Envoy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnvoyReport {
    /// Its node id.
    pub node: String,
    /// Its region.
    pub region: String,
    /// Its address.
    pub remote: String,
    /// `sotw` or `delta`.
    pub protocol: String,
    /// Its version, as sent by it.
    pub user_agent: String,
    /// Since when it is connected.
    pub connected: Millis,
    /// When the certificate ends that it presented in this connection: seconds since the Unix epoch. `None` without TLS.
    #[serde(default)]
    pub certificate: Option<i64>,
    /// The state of each type.
    pub types: BTreeMap<String, TypeReport>,
}

/// The state of one resource type at an Envoy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TypeReport {
    /// The version that it has accepted.
    pub acked: Option<String>,
    /// The version that it has not acknowledged yet.
    pub in_flight: Option<String>,
    /// The version that it has rejected.
    pub refused: Option<String>,
    /// The error message of the Envoy.
    pub nack: Option<String>,
}

/// Counters since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CountsReport {
    /// Publications that changed something.
    pub publications: u64,
    /// Publications that were refused: residency could not be verified.
    pub unpublished: u64,
    /// Edits of the fleet file that came into force.
    pub reloads: u64,
    /// Edits that were rejected.
    pub bad_edits: u64,
    /// Times at which nothing was planned: what came before took longer than until then.
    #[serde(default)]
    pub skipped: u64,
    /// Seconds that planning and publishing took.
    #[serde(default)]
    pub planning_seconds: f64,
    /// Responses sent, by type.
    pub pushes: BTreeMap<String, u64>,
    /// Responses accepted.
    pub acks: BTreeMap<String, u64>,
    /// Responses rejected.
    pub nacks: BTreeMap<String, u64>,
    /// Streams refused, by reason.
    pub refused_streams: BTreeMap<String, u64>,
}

impl From<(&Attempts, AttemptCounts)> for AttemptsReport {
    fn from((attempts, counts): (&Attempts, AttemptCounts)) -> Self {
        Self {
            gateway: attempts.gateway.clone(),
            zone: attempts.zone.clone(),
            model: attempts.model.clone(),
            lane: attempts.lane,
            to: attempts.to.clone(),
            counts,
        }
    }
}

impl SourceReport {
    /// Records the result of reading it.
    pub fn note(&mut self, url: &str, outcome: &Result<Scraped, ScrapeError>) {
        // Another URL means that an edit has replaced the source.
        if self.url != url {
            *self = Self {
                url: url.to_owned(),
                ..Self::default()
            };
        }
        match outcome {
            Ok(scraped) => {
                self.note_refused(&scraped.refused);
                match &scraped.observation {
                    Some(observation) => {
                        self.heard = Some(observation.at);
                        self.error = None;
                    }
                    None => self.error = Some("no usable value".into()),
                }
            }
            Err(error) => {
                self.error = Some(error.to_string());
                *self.failures.entry(error.label().to_owned()).or_default() += 1;
            }
        }
    }

    /// Records the number of values that the fleet's state refused because there were too many series.
    pub fn note_untaken(&mut self, count: u64) {
        let why = RefusalReason::TooMany;
        if count > 0 {
            self.refused.push(format!("{why}, {count} times"));
            *self.refusals.entry(why.label().to_owned()).or_default() += count;
        }
    }

    /// Records refused values.
    pub fn note_refused(&mut self, refused: &[Refused]) {
        self.refused = refused.iter().map(ToString::to_string).collect();
        for each in refused {
            *self
                .refusals
                .entry(each.why.label().to_owned())
                .or_default() += each.count;
        }
    }
}

impl Report {
    /// The report with the state of the xDS server.
    pub fn with_clients(mut self, hub: &Hub) -> Self {
        let clients = hub.clients();
        self.envoys = clients
            .iter()
            .map(|client| envoy(client, self.at))
            .collect();
        self.alarms.extend(self.too_many());
        let Counts {
            pushes,
            acks,
            nacks,
            refused,
        } = hub.counts();
        let by_type = |counts: crate::xds::PerType<u64>| {
            let counts = counts
                .iter()
                .map(|(kind, count)| (kind.label().to_owned(), *count));
            counts.collect()
        };
        self.counts.pushes = by_type(pushes);
        self.counts.acks = by_type(acks);
        self.counts.nacks = by_type(nacks);
        self.counts.refused_streams = refused
            .into_iter()
            .map(|(why, count)| (why.to_owned(), count))
            .collect();
        self
    }
}

impl Report {
    /// Alarms for regions with more Envoys than share the region's part of the budgets: together they may exceed it.
    pub(super) fn too_many(&self) -> Vec<Alarm> {
        let regions = self.regions.iter();
        let alarms = regions.filter_map(|(region, report)| {
            let of = |envoy: &&EnvoyReport| envoy.region == region.as_str();
            let connected = self.envoys.iter().filter(of).count();
            let known = report.budgeted?;
            (connected > usize::try_from(known).unwrap_or(usize::MAX)).then(|| Alarm {
                region: region.clone(),
                kind: AlarmKind::TooManyGateways,
                message: format!(
                    "{connected} Envoys are connected, and its part of the fallbacks' budgets is for {known}: together they may \
                     spend more; set `gateway.replicas`"
                ),
            })
        });
        alarms.collect()
    }
}

fn envoy(status: &ClientStatus, now: Millis) -> EnvoyReport {
    let client = &status.client;
    let connected = u64::try_from(client.connected.elapsed().as_millis()).unwrap_or(u64::MAX);
    let types = status.types.iter().filter_map(|(kind, status)| {
        let status = status.as_ref()?;
        let report = TypeReport {
            acked: status.acked.clone(),
            in_flight: status.in_flight.clone(),
            refused: status.nack.as_ref().map(|nack| nack.version.clone()),
            nack: status.nack.as_ref().map(|nack| nack.message.clone()),
        };
        Some((kind.label().to_owned(), report))
    });
    EnvoyReport {
        node: client.node.clone(),
        region: client.region.to_string(),
        remote: client
            .remote
            .map(|remote| remote.to_string())
            .unwrap_or_default(),
        protocol: client.wire.label().to_owned(),
        user_agent: client.user_agent.clone(),
        connected: Millis(now.0.saturating_sub(connected)),
        certificate: None,
        types: types.collect(),
    }
}
