//! Headers of requests.

use hyper::http::request::Parts;

/// A header of a request; empty where it has none.
pub(super) fn header<'p>(parts: &'p Parts, name: &str) -> &'p str {
    let value = parts.headers.get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
