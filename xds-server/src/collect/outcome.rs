//! The result of reading a source once.

use super::page::PageError;
use super::refused::{Refused, excerpt};
use meridian_planner::signal::{Millis, Observation};
use meridian_policy::RegionName;
use std::error::Error;
use std::time::Duration;

/// The result of reading a source once.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// The region that the source is about.
    pub region: RegionName,
    /// Its place in the fleet file, e.g. `signals[0]`.
    pub source: String,
    /// Its URL.
    pub url: String,
    /// When the request was sent.
    pub at: Millis,
    /// Duration of the request.
    pub took: Duration,
    /// The observation, or the error.
    pub outcome: Result<Scraped, ScrapeError>,
}

/// The content of a page, a query result or a push.
#[derive(Clone, Debug, PartialEq)]
pub struct Scraped {
    /// The accepted values; `None` if there are none.
    pub observation: Option<Observation>,
    /// The refused values.
    pub refused: Vec<Refused>,
}

/// Why a source could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeError {
    /// The token file cannot be read, or is empty.
    #[error("no token: {0}")]
    Token(String),
    /// A TLS file cannot be read or used.
    #[error("no TLS: {0}")]
    Tls(String),
    /// No connection, or no TLS session.
    #[error("no connection: {0}")]
    Connect(String),
    /// The response was not complete in time.
    #[error("no whole page within {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// The response has another status than 200. Redirects are not followed.
    #[error("status {0}")]
    Status(u16),
    /// The body exceeds this number of bytes.
    #[error("more than {0} bytes")]
    TooLarge(usize),
    /// A query failed, or its result has the wrong type.
    #[error("`queries.{figure}`: {message}")]
    Query {
        /// The figure of the query.
        figure: &'static str,
        /// The problem.
        message: String,
    },
    /// The content type is not one of metrics.
    #[error("a page of type `{0}`; expected text/plain")]
    ContentType(String),
    /// The response is not valid HTTP, or the connection broke.
    #[error("broken response: {0}")]
    Broken(String),
    /// The body is not a page of metrics.
    #[error(transparent)]
    Page(#[from] PageError),
    /// An internal error.
    #[error("reading the page failed; please report it")]
    Reader,
}

impl ScrapeError {
    /// A short, stable name for metrics.
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
        // The innermost cause has the useful message.
        let mut cause: &dyn Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let cause = excerpt(&cause.to_string());
        if error.is_connect() {
            Self::Connect(cause)
        } else {
            Self::Broken(cause)
        }
    }
}
