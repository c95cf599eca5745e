//! Findings: what is refused unless the file accepts it by name, where it stands.

use schemars::JsonSchema;
use serde::Deserialize;

/// A finding about a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawZoneFinding {
    /// `misdirected: redirect` sends callers to a `public.url` with plain `http`: a prompt that follows it crosses the network in the
    /// clear.
    PlainRedirect,
}

/// A finding about a source of a caller's zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawSourceFinding {
    /// The networks under `trust` add up to a large part of all addresses, so that callers are trusted to name their own zone.
    WideTrust,
    /// The header is one that callers or proxies set for other purposes, e.g. `host`, `x-forwarded-for` or `connection`.
    UnreliableHeader,
}

/// A finding about a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawPoolFinding {
    /// The pool has the public address of another region's gateway, and a pinned zone has this region and not that one.
    ForeignGateway,
}

/// A finding about a fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawFallbackFinding {
    /// `url` is not a host of the provider's that serves the location, e.g. a proxy of your own: it does not prove the jurisdiction.
    UnprovenHost,
    /// The inference profile is for another geography than `location`, `destinations` or `jurisdiction`, e.g. `us.` with AWS regions
    /// in the EU.
    ForeignProfile,
}

/// A finding, by its name in the file.
pub trait Finding: Copy {
    /// The name.
    fn name(self) -> &'static str;
}

impl Finding for RawZoneFinding {
    fn name(self) -> &'static str {
        match self {
            Self::PlainRedirect => "plain_redirect",
        }
    }
}

impl Finding for RawSourceFinding {
    fn name(self) -> &'static str {
        match self {
            Self::WideTrust => "wide_trust",
            Self::UnreliableHeader => "unreliable_header",
        }
    }
}

impl Finding for RawPoolFinding {
    fn name(self) -> &'static str {
        match self {
            Self::ForeignGateway => "foreign_gateway",
        }
    }
}

impl Finding for RawFallbackFinding {
    fn name(self) -> &'static str {
        match self {
            Self::UnprovenHost => "unproven_host",
            Self::ForeignProfile => "foreign_profile",
        }
    }
}
