//! One look at one page.

use super::access::Access;
use super::fetch::{body, send};
use super::page::{Page, PageError};
use super::preset::{self, Read};
use super::query::{self, Asked};
use super::{Clock, Refused, metrics};
use meridian_planner::signal::{Millis, Observation};
use meridian_policy::fleet::{Fleet, Region};
use meridian_policy::source::{SignalSource, Tells};
use meridian_policy::{ModelName, RegionName};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

/// Largest page, in bytes. One of vLLM has 60,000.
pub(super) const LARGEST_PAGE: usize = 8 << 20;
/// A page that takes longer tells about a time that is over.
const LONGEST: Duration = Duration::from_secs(5);
/// However often a page is read, a connection needs this long.
const SHORTEST: Duration = Duration::from_millis(500);
/// Queries are asked one after the other for their times, and these say how old the samples are, however long it took.
const SHORTEST_OF_QUERIES: Duration = Duration::from_secs(2);

/// A source of the fleet file, with what is needed to understand it.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// The region that it is about.
    pub region: RegionName,
    /// Its place in the region, e.g. `signals[0]`.
    pub source: String,
    /// Where and how it is read.
    pub signal: SignalSource,
    /// The models that the region has.
    pub pools: BTreeSet<ModelName>,
    /// What is older is no signal.
    pub ttl: Duration,
}

impl Watched {
    /// Every source of a fleet.
    pub fn of(fleet: &Fleet) -> Vec<Self> {
        let of_region = |(name, region): (&RegionName, &Region)| {
            let pools: BTreeSet<ModelName> = region.pools.keys().cloned().collect();
            let watched = |(index, signal): (usize, &SignalSource)| Self {
                region: name.clone(),
                source: format!("signals[{index}]"),
                signal: signal.clone(),
                pools: pools.clone(),
                ttl: fleet.unhealthy.signal_ttl,
            };
            let watched: Vec<Self> = region.signals.iter().enumerate().map(watched).collect();
            watched
        };
        fleet.regions.iter().flat_map(of_region).collect()
    }

    /// How long one look may take.
    pub(super) fn limit(&self) -> Duration {
        let shortest = match self.signal.tells {
            Tells::Queries { .. } => SHORTEST_OF_QUERIES,
            _ => SHORTEST,
        };
        self.signal.every.clamp(shortest, LONGEST)
    }
}

/// What came of one look at a source.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// The region that the source is about.
    pub region: RegionName,
    /// Its place in the region, e.g. `signals[0]`.
    pub source: String,
    /// Its URL.
    pub url: String,
    /// When it was asked.
    pub at: Millis,
    /// How long it took.
    pub took: Duration,
    /// What it said, or why nothing.
    pub outcome: Result<Scraped, ScrapeError>,
}

/// What a page said.
#[derive(Clone, Debug, PartialEq)]
pub struct Scraped {
    /// What is believed; `None` if that is nothing.
    pub observation: Option<Observation>,
    /// What is not believed.
    pub refused: Vec<Refused>,
}

/// Why a source said nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeError {
    /// The file with its token cannot be read, or holds none.
    #[error("no token: {0}")]
    Token(String),
    /// A file that TLS with it needs cannot be read or used.
    #[error("no TLS: {0}")]
    Tls(String),
    /// Nobody there, or no TLS with it.
    #[error("no connection: {0}")]
    Connect(String),
    /// Not whole in time.
    #[error("no whole page within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// It answered with another status than 200; redirects are not followed.
    #[error("status {0}")]
    Status(u16),
    /// The body has more bytes than these.
    #[error("more than {0} bytes")]
    TooLarge(usize),
    /// A query was not answered with what it should have been.
    #[error("`queries.{figure}`: {message}")]
    Query {
        /// What it is for.
        figure: &'static str,
        /// What the answer was instead.
        message: String,
    },
    /// Its content type is not that of a page of metrics.
    #[error("a page of type `{0}`; expected text/plain")]
    ContentType(String),
    /// It does not speak HTTP, or hung up within the answer.
    #[error("broken answer: {0}")]
    Broken(String),
    /// The body is not a page of metrics.
    #[error("{0}")]
    Page(#[from] PageError),
    /// The page could not be read because of a fault of ours.
    #[error("reading the page failed; please report it")]
    Reader,
}

impl ScrapeError {
    /// A short name that does not change, for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Tls(_) => "tls",
            Self::Connect(_) => "connect",
            Self::Timeout(_) => "timeout",
            Self::Status(_) => "status",
            Self::TooLarge(_) => "too_large",
            Self::Query { .. } => "query",
            Self::ContentType(_) => "content_type",
            Self::Broken(_) => "broken",
            Self::Page(_) => "page",
            Self::Reader => "reader",
        }
    }
}

impl From<reqwest::Error> for ScrapeError {
    fn from(error: reqwest::Error) -> Self {
        // The last cause says what happened; the first one only that something did.
        let mut cause: &dyn Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let cause = super::refused::excerpt(&cause.to_string());
        if error.is_connect() {
            Self::Connect(cause)
        } else {
            Self::Broken(cause)
        }
    }
}

/// Looks at a source once.
pub(super) async fn scrape(access: &mut Access, watched: &Watched, clock: Clock) -> Scrape {
    let at = clock();
    let begun = tokio::time::Instant::now();
    let limit = watched.limit();
    let looked = tokio::time::timeout(limit, async {
        let client = access.client(watched.signal.tls.as_ref()).await?;
        look(&client, watched, at).await
    })
    .await;
    let outcome = looked.unwrap_or(Err(ScrapeError::Timeout(limit)));
    Scrape {
        region: watched.region.clone(),
        source: watched.source.clone(),
        url: watched.signal.url.clone(),
        at,
        took: begun.elapsed(),
        outcome,
    }
}

async fn look(
    client: &reqwest::Client,
    watched: &Watched,
    at: Millis,
) -> Result<Scraped, ScrapeError> {
    match &watched.signal.tells {
        Tells::Preset(preset) => {
            let preset = *preset;
            let bytes = page(client, &watched.signal).await?;
            understand(bytes, watched.clone(), at, move |page, watched| {
                preset::read(page, preset, &watched.signal, &watched.pools)
            })
            .await
        }
        Tells::Metrics {
            metrics,
            model_label,
        } => {
            let (metrics, label) = (metrics.clone(), model_label.clone());
            let bytes = page(client, &watched.signal).await?;
            understand(bytes, watched.clone(), at, move |page, watched| {
                metrics::read(page, &watched.signal, (&metrics, &label), &watched.pools)
            })
            .await
        }
        Tells::Queries {
            queries,
            model_label,
            tenant,
        } => {
            let asked = Asked {
                queries,
                model_label,
                tenant: tenant.as_deref(),
            };
            query::look(client, watched, asked, at).await
        }
        // It speaks by itself.
        Tells::Pushed(_) => Ok(Scraped {
            observation: None,
            refused: Vec::new(),
        }),
    }
}

async fn page(client: &reqwest::Client, signal: &SignalSource) -> Result<Vec<u8>, ScrapeError> {
    let request = client
        .get(&signal.url)
        .header(ACCEPT, "text/plain;version=0.0.4, */*;q=0.1");
    let response = send(request, signal.token.as_deref()).await?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(ScrapeError::Status(response.status().as_u16()));
    }
    if let Some(kind) = response.headers().get(CONTENT_TYPE) {
        let kind = String::from_utf8_lossy(kind.as_bytes());
        let essence = kind.split(';').next().unwrap_or_default().trim();
        let pages = ["text/plain", "application/openmetrics-text"];
        if !pages.iter().any(|page| essence.eq_ignore_ascii_case(page)) {
            return Err(ScrapeError::ContentType(super::refused::excerpt(essence)));
        }
    }
    body(response, LARGEST_PAGE).await
}

/// Off the threads that everybody shares: a page of 8 MiB keeps one busy for a while.
async fn understand(
    bytes: Vec<u8>,
    watched: Watched,
    at: Millis,
    read: impl FnOnce(&Page<'_>, &Watched) -> Read + Send + 'static,
) -> Result<Scraped, ScrapeError> {
    let task = tokio::task::spawn_blocking(move || {
        let page = Page::parse(&bytes)?;
        let read = read(&page, &watched);
        let observation = (!read.readings.is_empty()).then_some(Observation {
            region: watched.region,
            source: watched.signal.key(),
            at,
            readings: read.readings,
        });
        Ok(Scraped {
            observation,
            refused: read.refused,
        })
    });
    task.await.unwrap_or(Err(ScrapeError::Reader))
}
