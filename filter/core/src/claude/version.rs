//! The version of Anthropic's API.

/// The version of Anthropic's API that is spoken: its header, and the value. It has no `temperature`, `top_p` and `top_k`.
pub const VERSION: (&str, &str) = ("anthropic-version", "2026-10-21");
