//! What the control plane knows and does, as `meridian status` and `/metrics` show it.

use crate::collect::{RefusalReason, Refused, ScrapeError, Scraped};
use crate::xds::{ClientStatus, Counts, Hub};
use meridian_planner::alarm::{Alarm, AlarmKind};
use meridian_planner::health::Health;
use meridian_planner::placement::Placement;
use meridian_planner::signal::{AttemptCounts, Millis};
use meridian_planner::state::{Attempts, PoolSignals};
use meridian_policy::filter_policy::{Lane, Lease};
use meridian_policy::retrieval::Role;
use meridian_policy::{ModelName, RegionName, ZoneName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

/// Everything that can be seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When it was made, in milliseconds since the Unix epoch.
    pub at: Millis,
    /// The version of `meridian`.
    pub version: String,
    /// The fleet file.
    pub fleet: FleetReport,
    /// Why the plan cannot be published; the one before it stays, and its lease is renewed.
    pub unpublished: Option<ErrorReport>,
    /// The lease that gateways have now.
    pub lease: Option<Lease>,
    /// Regions with their pools and sources.
    pub regions: BTreeMap<RegionName, RegionReport>,
    /// Where each gateway sends each (zone, model) that it has a choice for.
    pub placements: BTreeMap<RegionName, BTreeMap<ZoneName, BTreeMap<ModelName, Placement>>>,
    /// Connected Envoys.
    pub envoys: Vec<EnvoyReport>,
    /// What a person should look at.
    pub alarms: Vec<Alarm>,
    /// What has happened since the start.
    pub counts: CountsReport,
}

/// The fleet file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FleetReport {
    /// Where it is.
    pub file: String,
    /// When what is in force now was read.
    pub since: Millis,
    /// What is wrong with what the file says now; the fleet before it stays in force.
    pub error: Option<ErrorReport>,
}

/// Something that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorReport {
    /// Since when.
    pub at: Millis,
    /// What.
    pub message: String,
}

/// A region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RegionReport {
    /// Its pools.
    pub pools: BTreeMap<ModelName, PoolReport>,
    /// How fresh its data is.
    #[serde(default)]
    pub data: DataReport,
    /// Envoys that its part of budgets is for; `None` where no fallback has one.
    #[serde(default)]
    pub budgeted: Option<u32>,
    /// What its gateways have counted of their attempts.
    #[serde(default)]
    pub attempts: Vec<AttemptsReport>,
    /// Its sources, by their place in the fleet file or the node id of their gateway.
    pub sources: BTreeMap<String, SourceReport>,
}

/// A region's data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataReport {
    /// Seconds that it is behind, where that is known.
    pub lag: Option<f64>,
    /// Whether that is too far.
    pub behind: bool,
    /// What its vector database is; `None` where it has none.
    pub role: Option<Role>,
    /// The region whose vector database serves what is retrieved there.
    pub serves: Option<RegionName>,
}

/// A pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolReport {
    /// What is known about it.
    pub signals: PoolSignals,
    /// How it is.
    pub health: Health,
    /// How much of what batch brings it takes, in percent.
    #[serde(default)]
    pub batch: u8,
    /// Requests per second that the region's own callers had it asked for first, by zone.
    pub demand: BTreeMap<ZoneName, f64>,
}

/// Attempts of one kind, counted by a gateway since it began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptsReport {
    /// The gateway's node id.
    pub gateway: String,
    /// The callers' zone.
    pub zone: ZoneName,
    /// The model.
    pub model: ModelName,
    /// The lane.
    pub lane: Lane,
    /// The region that was asked.
    pub to: RegionName,
    /// How they ended.
    pub counts: AttemptCounts,
}

/// A source of signals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceReport {
    /// Its URL; empty for a gateway.
    pub url: String,
    /// When it was last understood.
    pub heard: Option<Millis>,
    /// What went wrong the last time; gone when it was understood again.
    pub error: Option<String>,
    /// Failures by kind, since the start.
    pub failures: BTreeMap<String, u64>,
    /// What it said last that was not believed.
    pub refused: Vec<String>,
    /// Values that were not believed, by reason, since the start.
    pub refusals: BTreeMap<String, u64>,
}

/// A connected Envoy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EnvoyReport {
    /// Its node id.
    pub node: String,
    /// Its region.
    pub region: String,
    /// Where it connects from.
    pub remote: String,
    /// `sotw` or `delta`.
    pub protocol: String,
    /// Its version, in its own words.
    pub user_agent: String,
    /// Since when it is connected.
    pub connected: Millis,
    /// What it has of each type.
    pub types: BTreeMap<String, TypeReport>,
}

/// What an Envoy has of a type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TypeReport {
    /// The version that it has accepted.
    pub acked: Option<String>,
    /// The version that it has not answered yet.
    pub in_flight: Option<String>,
    /// The version that it has refused.
    pub refused: Option<String>,
    /// The error message of the Envoy.
    pub nack: Option<String>,
}

/// What has happened since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsReport {
    /// Publications that changed something.
    pub publications: u64,
    /// Publications that were not made: residency could not be shown.
    pub unpublished: u64,
    /// Edits of the fleet file that were taken.
    pub reloads: u64,
    /// Edits that were not.
    pub bad_edits: u64,
    /// Responses sent, by type.
    pub pushes: BTreeMap<String, u64>,
    /// Responses accepted.
    pub acks: BTreeMap<String, u64>,
    /// Responses refused.
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
    /// Notes a look at it.
    pub fn note(&mut self, url: &str, outcome: &Result<Scraped, ScrapeError>) {
        // What stood at this place before an edit was another source.
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
                    None => self.error = Some("nothing that can be used".into()),
                }
            }
            Err(error) => {
                self.error = Some(error.to_string());
                *self.failures.entry(error.label().to_owned()).or_default() += 1;
            }
        }
    }

    /// Notes how many values of its observation the fleet's state has not taken.
    pub fn note_untaken(&mut self, count: u64) {
        let why = RefusalReason::TooMany;
        if count > 0 {
            self.refused.push(format!("{why}, {count} times"));
            *self.refusals.entry(why.label().to_owned()).or_default() += count;
        }
    }

    /// Notes what it said that was not believed.
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
    /// The same with what the xDS server shows.
    pub fn with_clients(mut self, hub: &Hub) -> Self {
        self.envoys = hub.clients().iter().map(envoy).collect();
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
    /// Regions with more Envoys than their part of budgets is for: together they may spend more.
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

fn envoy(status: &ClientStatus) -> EnvoyReport {
    let client = &status.client;
    let since = client
        .connected
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
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
        connected: Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
        types: types.collect(),
    }
}
