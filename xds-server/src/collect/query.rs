//! Answers of a Prometheus, Thanos or Mimir: PromQL over `/api/v1/query`.
//!
//! The time in an answer is that of the query. How old the sample is on which it stands, `timestamp()` tells of a plain selector, asked
//! about the same moment. Of a computation it tells the time of the query again, so `lookback_delta` keeps old samples out of those,
//! where the server knows that parameter.

use super::fetch::{body, send};
use super::figures::{FigureReader, FigureSample, engine};
use super::outcome::{ScrapeError, Scraped};
use super::refused::excerpt;
use super::watched::WatchedSource;
use super::{RefusalReason, value};
use futures_util::future::try_join_all;
use meridian_policy::signal::{Millis, Observation};
use meridian_policy::source::Figure;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use url::form_urlencoded::Serializer;

/// Largest answer, in bytes: a thousand series have about 200,000.
const LARGEST_ANSWER: usize = 1 << 20;
/// Seconds since the Unix epoch that are still a time.
const LATEST: f64 = 1e11;

/// What the fleet file wants to know.
#[derive(Clone, Copy)]
pub(super) struct QuerySpec<'a> {
    pub(super) queries: &'a BTreeMap<Figure, String>,
    pub(super) model_label: &'a str,
    pub(super) tenant: Option<&'a str>,
}

type Labels = BTreeMap<String, String>;

/// A value of a query's result.
struct Found {
    labels: Labels,
    value: f64,
    /// That of its sample, in seconds since the Unix epoch; `None` where the server contradicts itself.
    time: Option<f64>,
}

/// Asks every query of a source, all at once. `at` is now.
pub(super) async fn look(
    client: &reqwest::Client,
    watched: &WatchedSource,
    asked: QuerySpec<'_>,
    at: Millis,
) -> Result<Scraped, ScrapeError> {
    let each = asked.queries.iter().map(|(figure, expression)| async {
        let query = Query {
            client,
            watched,
            tenant: asked.tenant,
            figure: *figure,
        };
        Ok::<_, ScrapeError>((*figure, query.find(expression).await?))
    });
    let all = try_join_all(each).await?;
    Ok(understand(all, watched, asked.model_label, at))
}

struct Query<'a> {
    client: &'a reqwest::Client,
    watched: &'a WatchedSource,
    tenant: Option<&'a str>,
    figure: Figure,
}

impl Query<'_> {
    async fn find(&self, expression: &str) -> Result<Vec<Found>, ScrapeError> {
        let series = match self.ask(expression, None).await? {
            Data::Scalar(Sample(time, value)) => {
                return Ok(vec![Found {
                    labels: Labels::new(),
                    value: self.number(&value)?,
                    time: Some(time),
                }]);
            }
            Data::Vector(series) => series,
            Data::Matrix(_) => return Err(self.wrong("a range vector")),
            Data::String(_) => return Err(self.wrong("a string")),
        };
        let Some(asked) = series.first().map(|series| series.value.0) else {
            return Ok(Vec::new());
        };
        // On a line of its own: the expression may end with a comment.
        let times = format!("timestamp(\n{expression}\n)");
        let Data::Vector(times) = self.ask(&times, Some(asked)).await? else {
            return Err(self.wrong("something without times"));
        };
        let mut known: BTreeMap<Labels, f64> = BTreeMap::new();
        for Series { metric, value } in times {
            known.insert(nameless(metric), self.number(&value.1)?);
        }
        let found = series.into_iter().map(|Series { metric, value }| {
            let labels = nameless(metric);
            Ok(Found {
                value: self.number(&value.1)?,
                time: known.get(&labels).copied(),
                labels,
            })
        });
        found.collect()
    }

    async fn ask(&self, expression: &str, time: Option<f64>) -> Result<Data, ScrapeError> {
        let signal = &self.watched.signal;
        let url = format!("{}/api/v1/query", signal.url.trim_end_matches('/'));
        let mut request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(self.form(expression, time));
        if let Some(tenant) = self.tenant {
            request = request.header("x-scope-orgid", tenant);
        }
        let response = send(request, signal.token.as_deref()).await?;
        let status = response.status().as_u16();
        let body = body(response, LARGEST_ANSWER).await?;
        match serde_json::from_slice(&body) {
            Ok(Answer::Success { data }) if status == 200 => Ok(data),
            Ok(Answer::Error { error }) => Err(self.error(format!("refused: {}", excerpt(&error)))),
            Ok(_) => Err(ScrapeError::Status(status)),
            Err(_) if status != 200 => Err(ScrapeError::Status(status)),
            Err(error) => Err(self.error(format!("not an answer of `/api/v1/query`: {error}"))),
        }
    }

    fn form(&self, expression: &str, time: Option<f64>) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("query", expression)
            .append_pair("lookback_delta", &seconds(self.watched.ttl))
            .append_pair("timeout", &seconds(self.watched.limit()));
        if let Some(time) = time {
            form.append_pair("time", &time.to_string());
        }
        form.finish()
    }

    fn error(&self, message: String) -> ScrapeError {
        ScrapeError::Query {
            figure: self.figure.as_str(),
            message,
        }
    }

    fn wrong(&self, what: &str) -> ScrapeError {
        self.error(format!("{what}; expected a scalar or an instant vector"))
    }

    /// Numbers come as text, as JSON has no NaN.
    fn number(&self, text: &str) -> Result<f64, ScrapeError> {
        let number = text.parse();
        number.map_err(|_| self.error(format!("`{}` is not a number", excerpt(text))))
    }
}

fn seconds(duration: Duration) -> String {
    duration.as_secs_f64().to_string()
}

/// The labels by which a series is known: a function's result has no name.
fn nameless(mut labels: Labels) -> Labels {
    labels.remove("__name__");
    labels
}

fn understand(
    all: Vec<(Figure, Vec<Found>)>,
    watched: &WatchedSource,
    model_label: &str,
    at: Millis,
) -> Scraped {
    let mut reader = FigureReader::new(&watched.signal, &watched.pools);
    let mut oldest = at;
    if all.iter().all(|(_, found)| found.is_empty()) {
        let figures: Vec<&str> = all.iter().map(|(figure, _)| figure.as_str()).collect();
        reader
            .refusals
            .add("answer", RefusalReason::Nothing, &figures.join(", "));
    }
    for (figure, found) in all {
        for found in found {
            let time = match sampled(found.time, at, watched.ttl) {
                Ok(time) => time,
                Err(why) => {
                    reader.refusals.add(figure.as_str(), why, &found);
                    continue;
                }
            };
            let labels = found.labels.iter();
            let labels = labels.map(|(name, value)| (name.as_str(), value.as_str()));
            let said = FigureSample {
                figure,
                metric: figure.as_str().into(),
                model: found.labels.get(model_label).map(String::as_str),
                engine: engine(labels.filter(|(name, _)| *name != model_label)),
                value: found.value,
            };
            if reader.take(said, &found) {
                oldest = oldest.min(time);
            }
        }
    }
    let read = reader.finish();
    // What is told at one time is as old as the oldest of it.
    let observation = (!read.readings.is_empty()).then_some(Observation {
        region: watched.region.clone(),
        source: watched.signal.key(),
        at: oldest,
        readings: read.readings,
    });
    Scraped {
        observation,
        refused: read.refused,
    }
}

/// The time of a sample that is not too old; never later than now, whatever its clock says.
fn sampled(time: Option<f64>, at: Millis, ttl: Duration) -> Result<Millis, RefusalReason> {
    let time = value::amount(time.ok_or(RefusalReason::Contradicts)?, LATEST)?;
    // Below 1e14, so it fits.
    let time = Millis((time * 1000.0) as u64).min(at);
    if at.since(time) > ttl {
        return Err(RefusalReason::Stale);
    }
    Ok(time)
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.labels {
            write!(f, "{name}={value} ")?;
        }
        write!(f, "{}", self.value)
    }
}

/// What such a server answers; of what else it says nothing is needed.
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Answer {
    Success { data: Data },
    Error { error: String },
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Scalar(Sample),
    Vector(Vec<Series>),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Series {
    metric: Labels,
    value: Sample,
}

/// Seconds since the Unix epoch, and a number.
#[derive(Deserialize)]
struct Sample(f64, String);
