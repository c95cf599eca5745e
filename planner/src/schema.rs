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
