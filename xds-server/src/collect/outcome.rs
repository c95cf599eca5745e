//! The result of reading a source once.

use super::page::PageError;
use super::refused::{Refused, excerpt};
use meridian_policy::RegionName;
use meridian_policy::signal::{Millis, Observation};
use std::error::Error;
use std::time::Duration;

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
    #[error(transparent)]
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
        let cause = excerpt(&cause.to_string());
        if error.is_connect() {
            Self::Connect(cause)
        } else {
            Self::Broken(cause)
        }
    }
}
