//! Receives pushed signals, `meridian.signals.v1.Signals`. The fleet file says who may push which figures of a region.

use super::figures::{FigureReader, FigureSample};
use super::outcome::{Scrape, Scraped};
use super::refused::{RefusalReason, Refused};
use super::watched::WatchedSource;
use crate::clock::Clock;
use arc_swap::ArcSwap;
use meridian_planner::signal::{Millis, Observation};
use meridian_policy::RegionName;
use meridian_policy::source::{Figure, SignalFormat};
use meridian_proto::signals::signals_server::{Signals, SignalsServer};
use meridian_proto::signals::{self as pb, PushRequest, PushResponse, Sample};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;
use tonic::{Request, Response, Status};

/// Minimum interval between two pushes of a source.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Largest message, in bytes. 256 engines with all figures take half of it.
const LARGEST_MESSAGE: usize = 256 << 10;
/// Longest name of an engine, in bytes.
const LONGEST_ENGINE: usize = 64;

/// The push service. `I` returns the SPIFFE ID that a caller's connection proves. With `Ok(None)` the ID in the message
/// counts.
pub struct Pushes<I> {
    identify: I,
    sources: Arc<ArcSwap<Vec<WatchedSource>>>,
    sender: Sender<Scrape>,
    clock: Clock,
    pace: Mutex<BTreeMap<(RegionName, String), Pace>>,
}

/// The time of a source's last push, and the number of pushes since that came too soon.
struct Pace {
    last: Millis,
    refused: u64,
}

impl<I> Pushes<I>
where
    I: Fn(&Request<PushRequest>) -> Result<Option<String>, Status> + Send + Sync + 'static,
{
    /// A service for these sources; others are refused. A push that does not fit into `sender` is refused and may be
    /// repeated.
    pub fn new(
        identify: I,
        sources: Arc<ArcSwap<Vec<WatchedSource>>>,
        sender: Sender<Scrape>,
        clock: Clock,
    ) -> Self {
        Self {
            identify,
            sources,
            sender,
            clock,
            pace: Mutex::default(),
        }
    }

    /// The gRPC service.
    pub fn into_service(self) -> SignalsServer<Self> {
        SignalsServer::new(self).max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// The fleet file's source for a push.
    ///
    /// # Errors
    ///
    /// If the caller's identity and the message disagree, or the fleet file has no such source.
    fn source(
        &self,
        proven: Option<String>,
        request: &PushRequest,
    ) -> Result<WatchedSource, Status> {
        let claimed = Some(&request.source).filter(|claimed| !claimed.is_empty());
        let id = match (proven, claimed) {
            (Some(proven), Some(claimed)) if proven != *claimed => {
                let status = format!("the certificate names `{proven}`, the message `{claimed}`");
                return Err(Status::permission_denied(status));
            }
            (Some(proven), _) => proven,
            (None, Some(claimed)) => claimed.clone(),
            (None, None) => {
                return Err(Status::invalid_argument("without TLS `source` is required"));
            }
        };
        let sources = self.sources.load();
        let of = |it: &&WatchedSource| it.signal.url == id && it.region.as_str() == request.region;
        sources.iter().find(of).cloned().ok_or_else(|| {
            let region = &request.region;
            Status::permission_denied(format!(
                "the fleet file has no `push: {id}` under `regions.{region}.signals`"
            ))
        })
    }

    /// The number of this source's pushes that came too soon since the last accepted one.
    ///
    /// # Errors
    ///
    /// If this push comes too soon.
    fn pace(&self, watched: &WatchedSource, at: Millis) -> Result<u64, Status> {
        let key = (watched.region.clone(), watched.signal.url.clone());
        let mut all = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pace) = all.get_mut(&key) else {
            let first = Pace {
                last: at,
                refused: 0,
            };
            all.insert(key, first);
            return Ok(0);
        };
        if at.since(pace.last) < MIN_INTERVAL {
            pace.refused += 1;
            return Err(Status::resource_exhausted("at most ten pushes a second"));
        }
        pace.last = at;
        Ok(std::mem::take(&mut pace.refused))
    }
}

#[tonic::async_trait]
impl<I> Signals for Pushes<I>
where
    I: Fn(&Request<PushRequest>) -> Result<Option<String>, Status> + Send + Sync + 'static,
{
    async fn push(&self, request: Request<PushRequest>) -> Result<Response<PushResponse>, Status> {
        let proven = (self.identify)(&request)?;
        let request = request.into_inner();
        let watched = self.source(proven, &request)?;
        let at = (self.clock)();
        let too_soon = self.pace(&watched, at)?;
        let scraped = interpret(&watched, &request.samples, too_soon, at);
        let response = PushResponse {
            refused: scraped.refused.iter().map(pb::Refused::from).collect(),
        };
        let scrape = Scrape {
            region: watched.region,
            source: watched.source,
            url: watched.signal.url,
            at,
            took: Duration::ZERO,
            outcome: Ok(scraped),
        };
        match self.sender.try_send(scrape) {
            Ok(()) => Ok(Response::new(response)),
            Err(TrySendError::Full(_)) => Err(Status::unavailable("busy; push again")),
            Err(TrySendError::Closed(_)) => Err(Status::unavailable("going away")),
        }
    }
}

fn interpret(watched: &WatchedSource, samples: &[Sample], too_soon: u64, at: Millis) -> Scraped {
    let mut reader = FigureReader::new(&watched.signal, &watched.pools);
    if too_soon > 0 {
        reader
            .refusals
            .add_many("push", RefusalReason::TooOften, too_soon, &"");
    }
    let none = BTreeSet::new();
    let figures = match &watched.signal.format {
        SignalFormat::Pushed(figures) => figures,
        _ => &none,
    };
    for sample in samples {
        let Some(figure) = figure(sample).filter(|figure| figures.contains(figure)) else {
            reader
                .refusals
                .add("push", RefusalReason::UnknownName, &Shown(sample));
            continue;
        };
        if sample.engine.len() > LONGEST_ENGINE {
            reader
                .refusals
                .add(figure.as_str(), RefusalReason::TooLarge, &Shown(sample));
            continue;
        }
        let figure_sample = FigureSample {
            figure,
            metric: figure.as_str().into(),
            model: Some(sample.model.as_str()).filter(|model| !model.is_empty()),
            engine: sample.engine.clone(),
            value: sample.value,
        };
        reader.add(figure_sample, &Shown(sample));
    }
    if samples.is_empty() {
        reader.refusals.add("push", RefusalReason::Nothing, &"");
    }
    let read = reader.finish();
    let observation = (!read.readings.is_empty()).then(|| Observation {
        region: watched.region.clone(),
        source: watched.signal.key(),
        at,
        readings: read.readings,
    });
    Scraped {
        observation,
        refused: read.refused,
    }
}

fn figure(sample: &Sample) -> Option<Figure> {
    Some(match sample.figure() {
        pb::Figure::Unspecified => return None,
        pb::Figure::Running => Figure::Running,
        pb::Figure::Waiting => Figure::Waiting,
        pb::Figure::KvCache => Figure::KvCache,
        pb::Figure::Utilization => Figure::Utilization,
        pb::Figure::Answers => Figure::Answers,
        pb::Figure::Failures => Figure::Failures,
        pb::Figure::GpuBusy => Figure::GpuBusy,
        pb::Figure::GpuActive => Figure::GpuActive,
        pb::Figure::ReplicationLag => Figure::ReplicationLag,
    })
}

/// A sample, as the example of a refused value.
struct Shown<'s>(&'s Sample);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(sample) = self;
        let figure = sample.figure().as_str_name();
        let (model, engine) = (&sample.model, &sample.engine);
        write!(f, "{figure} model={model} engine={engine} {}", sample.value)
    }
}

impl From<&Refused> for pb::Refused {
    fn from(refused: &Refused) -> Self {
        Self {
            figure: refused.metric.to_string(),
            reason: refused.why.label().to_owned(),
            count: refused.count,
            example: refused.to_string(),
        }
    }
}
