//! Queries Prometheus, Thanos or Mimir: PromQL over `/api/v1/query`.
//!
//! A result carries the time of the query. The age of its samples comes from a second query, `timestamp()` of the same
//! selector at the same time: both times are by the server's clock, so the control plane's own clock does not matter. For a computed expression `timestamp()` returns the time of the query, so
//! `lookback_delta` excludes old samples, on servers that support it.

use super::fetch::{body, send};
use super::figures::{FigureReader, FigureSample, engine};
use super::outcome::{ScrapeError, Scraped};
use super::refused::excerpt;
use super::watched::WatchedSource;
use super::{RefusalReason, value};
use futures_util::future::try_join_all;
use meridian_planner::signal::{Millis, Observation};
use meridian_policy::source::Figure;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use url::form_urlencoded::Serializer;

/// Largest response, in bytes. A thousand series take about 200,000.
const LARGEST_RESPONSE: usize = 1 << 20;
/// Latest plausible time, in seconds since the Unix epoch.
const LATEST: f64 = 1e11;

/// The queries of one source in the fleet file.
#[derive(Clone, Copy)]
pub(super) struct QuerySpec<'a> {
    pub(super) queries: &'a BTreeMap<Figure, String>,
    pub(super) model_label: &'a str,
    pub(super) tenant: Option<&'a str>,
}

type Labels = BTreeMap<String, String>;

/// One value of a query's result.
struct SeriesValue {
    labels: Labels,
    value: f64,
    /// When the sample was taken and when the query was answered, in seconds since the Unix epoch by the server's clock; `None` if
    /// the server returned no time for the sample.
    times: Option<[f64; 2]>,
}

/// Runs all queries of a source concurrently. `at` is the current time.
pub(super) async fn run_queries(
    client: &reqwest::Client,
    watched: &WatchedSource,
    spec: QuerySpec<'_>,
    at: Millis,
) -> Result<Scraped, ScrapeError> {
    let each = spec.queries.iter().map(|(figure, expression)| async {
        let query = Query {
            client,
            watched,
            tenant: spec.tenant,
            figure: *figure,
        };
        Ok::<_, ScrapeError>((*figure, query.find(expression).await?))
    });
    let all = try_join_all(each).await?;
    Ok(interpret(all, watched, spec.model_label, at))
}

struct Query<'a> {
    client: &'a reqwest::Client,
    watched: &'a WatchedSource,
    tenant: Option<&'a str>,
    figure: Figure,
}

impl Query<'_> {
    async fn find(&self, expression: &str) -> Result<Vec<SeriesValue>, ScrapeError> {
        let series = match self.ask(expression, None).await? {
            Data::Scalar(Sample(time, value)) => {
                return Ok(vec![SeriesValue {
                    labels: Labels::new(),
                    value: self.number(&value)?,
                    times: Some([time, time]),
                }]);
            }
            Data::Vector(series) => series,
            Data::Matrix(_) => return Err(self.wrong("a range vector")),
            Data::String(_) => return Err(self.wrong("a string")),
        };
        let Some(query_time) = series.first().map(|series| series.value.0) else {
            return Ok(Vec::new());
        };
        // On its own line, because the expression may end with a comment.
        let times = format!("timestamp(\n{expression}\n)");
        let Data::Vector(times) = self.ask(&times, Some(query_time)).await? else {
            return Err(self.wrong("something without times"));
        };
        let mut known: BTreeMap<Labels, f64> = BTreeMap::new();
        for Series { metric, value } in times {
            known.insert(without_name(metric), self.number(&value.1)?);
        }
        let found = series.into_iter().map(|Series { metric, value }| {
            let labels = without_name(metric);
            Ok(SeriesValue {
                value: self.number(&value.1)?,
                times: known.get(&labels).map(|sampled| [*sampled, query_time]),
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
        let body = body(response, LARGEST_RESPONSE).await?;
        match serde_json::from_slice(&body) {
            Ok(ApiResponse::Success { data }) if status == 200 => Ok(data),
            Ok(ApiResponse::Error { error }) => {
                Err(self.error(format!("refused: {}", excerpt(&error))))
            }
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

    /// The API encodes numbers as strings, because JSON has no NaN.
    fn number(&self, text: &str) -> Result<f64, ScrapeError> {
        let number = text.parse();
        number.map_err(|_| self.error(format!("`{}` is not a number", excerpt(text))))
    }
}

fn seconds(duration: Duration) -> String {
    duration.as_secs_f64().to_string()
}

/// The labels without `__name__`, which the result of a function lacks.
fn without_name(mut labels: Labels) -> Labels {
    labels.remove("__name__");
    labels
}

fn interpret(
    all: Vec<(Figure, Vec<SeriesValue>)>,
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
            let time = match sample_time(found.times, at, watched.ttl) {
                Ok(time) => time,
                Err(why) => {
                    reader.refusals.add(figure.as_str(), why, &found);
                    continue;
                }
            };
            let labels = found.labels.iter();
            let labels = labels.map(|(name, value)| (name.as_str(), value.as_str()));
            let sample = FigureSample {
                figure,
                metric: figure.as_str().into(),
                model: found.labels.get(model_label).map(String::as_str),
                engine: engine(labels.filter(|(name, _)| *name != model_label)),
                value: found.value,
            };
            if reader.add(sample, &found) {
                oldest = oldest.min(time);
            }
        }
    }
    let read = reader.finish();
    // An observation is as old as its oldest sample.
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

/// The time of a sample by the control plane's clock, at most the current time.
///
/// # Errors
///
/// If the sample is older than `ttl`, or its time is unknown.
fn sample_time(
    times: Option<[f64; 2]>,
    at: Millis,
    ttl: Duration,
) -> Result<Millis, RefusalReason> {
    let [sampled, queried] = times.ok_or(RefusalReason::Contradicts)?;
    let [sampled, queried] = [
        value::amount(sampled, LATEST)?,
        value::amount(queried, LATEST)?,
    ];
    let age = Duration::from_secs_f64((queried - sampled).max(0.0));
    if age > ttl {
        return Err(RefusalReason::Stale);
    }
    // No older than `ttl`, so the cast loses nothing.
    Ok(Millis(at.0.saturating_sub(age.as_millis() as u64)))
}

impl fmt::Display for SeriesValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.labels {
            write!(f, "{name}={value} ")?;
        }
        write!(f, "{}", self.value)
    }
}

/// The response of the API; other fields are ignored.
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum ApiResponse {
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
