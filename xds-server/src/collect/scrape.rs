//! Reads one source once.

use super::access::SourceClient;
use super::fetch::{body, send};
use super::interpreted::Interpreted;
use super::outcome::{Scrape, ScrapeError, Scraped};
use super::page::Page;
use super::query::{self, QuerySpec};
use super::refused::excerpt;
use super::watched::WatchedSource;
use super::{metrics, preset};
use crate::clock::Clock;
use meridian_planner::signal::{Millis, Observation};
use meridian_policy::source::{SignalFormat, SignalSource};
use reqwest::header::{ACCEPT, CONTENT_TYPE};

/// Largest page, in bytes. A vLLM page has about 60,000.
pub(super) const LARGEST_PAGE: usize = 8 << 20;
/// Reads a source once, within its time limit.
pub(super) async fn scrape(
    client: &mut SourceClient,
    watched: &WatchedSource,
    clock: Clock,
) -> Scrape {
    let at = clock();
    let begun = tokio::time::Instant::now();
    let limit = watched.limit();
    let read = tokio::time::timeout(limit, async {
        let client = client.get(watched.signal.tls.as_ref()).await?;
        read(&client, watched, at).await
    })
    .await;
    let outcome = read.unwrap_or(Err(ScrapeError::Timeout(limit)));
    Scrape {
        region: watched.region.clone(),
        source: watched.source.clone(),
        url: watched.signal.url.clone(),
        at,
        took: begun.elapsed(),
        outcome,
    }
}

async fn read(
    client: &reqwest::Client,
    watched: &WatchedSource,
    at: Millis,
) -> Result<Scraped, ScrapeError> {
    match &watched.signal.format {
        SignalFormat::Preset(preset) => {
            let preset = *preset;
            let bytes = page(client, &watched.signal).await?;
            interpret(bytes, watched.clone(), at, move |page, watched| {
                preset::read(page, preset, &watched.signal, &watched.pools)
            })
            .await
        }
        SignalFormat::Metrics {
            metrics,
            model_label,
        } => {
            let (metrics, label) = (metrics.clone(), model_label.clone());
            let bytes = page(client, &watched.signal).await?;
            interpret(bytes, watched.clone(), at, move |page, watched| {
                metrics::read(page, &watched.signal, (&metrics, &label), &watched.pools)
            })
            .await
        }
        SignalFormat::Queries {
            queries,
            model_label,
            tenant,
        } => {
            let spec = QuerySpec {
                queries,
                model_label,
                tenant: tenant.as_deref(),
            };
            query::run_queries(client, watched, spec, at).await
        }
        // The collector does not start tasks for sources that push.
        SignalFormat::Pushed(_) => Ok(Scraped {
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
            return Err(ScrapeError::ContentType(excerpt(essence)));
        }
    }
    body(response, LARGEST_PAGE).await
}

/// Parses on a blocking thread: a page of 8 MiB takes too long for the runtime's threads.
async fn interpret(
    bytes: Vec<u8>,
    watched: WatchedSource,
    at: Millis,
    interpreter: impl FnOnce(&Page<'_>, &WatchedSource) -> Interpreted + Send + 'static,
) -> Result<Scraped, ScrapeError> {
    let task = tokio::task::spawn_blocking(move || {
        let page = Page::parse(&bytes)?;
        let read = interpreter(&page, &watched);
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
