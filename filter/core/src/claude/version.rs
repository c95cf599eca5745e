//! The version of Anthropic's API.

/// The API version of translated requests: the header and its value. This version has no `temperature`, `top_p` and `top_k`.
pub const VERSION: (&str, &str) = ("anthropic-version", "2026-10-21");
