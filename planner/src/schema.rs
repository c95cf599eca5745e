//! Names, as the document of the admin API describes them.

use utoipa::ToSchema;

/// The name of a zone or region: `a-z`, `0-9` and inner `-`.
#[derive(ToSchema)]
#[schema(
    pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
    max_length = 63,
    example = "us-west-2"
)]
#[allow(dead_code)] // Only its schema is used.
pub struct Name(String);

/// The name of a model, as callers send it.
#[derive(ToSchema)]
#[schema(
    pattern = "^[A-Za-z0-9._:/@+-]+$",
    max_length = 128,
    example = "llama-3.1-70b"
)]
#[allow(dead_code)] // Only its schema is used.
pub struct Model(String);

/// The time for which gateways follow a plan.
#[derive(ToSchema)]
#[allow(dead_code)] // Only its schema is used.
pub struct Lease {
    /// When it was given, in seconds since the Unix epoch.
    given: u64,
    /// How long it runs from its arrival, in milliseconds.
    runs_ms: u64,
}

/// A place on the Earth.
#[derive(ToSchema)]
#[allow(dead_code)] // Only its schema is used.
pub struct Location {
    /// Degrees north of the equator.
    latitude: f64,
    /// Degrees east of Greenwich.
    longitude: f64,
}

/// The lane of a request.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code)] // Only its schema is used.
pub enum Lane {
    /// The home region first.
    Home,
    /// Another region first, because home sheds.
    Overflow,
    /// A region by weight: the request can wait.
    Batch,
    /// A region with fresh data first.
    Fresh,
    /// The fallbacks alone.
    Fallback,
}

/// The role of a database in replication.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code)] // Only its schema is used.
pub enum Role {
    /// It takes writes.
    Primary,
    /// It follows the primary.
    Replica,
}
