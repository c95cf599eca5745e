//! The inference APIs by path: the paths that a gateway accepts, and the shape of error responses.

/// The shape of an error response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// `{"error":{"message","type","param","code"}}`
    #[default]
    OpenAi,
    /// `{"type":"error","error":{"type","message"}}`
    Anthropic,
}

impl Shape {
    /// The type of an error with this HTTP status, in the API's words.
    pub fn error_type(self, status: u16) -> &'static str {
        match (self, status) {
            (_, 429) => "rate_limit_error",
            (Self::OpenAi, 500..) => "server_error",
            (Self::Anthropic, 401) => "authentication_error",
            (Self::Anthropic, 403) => "permission_error",
            (Self::Anthropic, 404) => "not_found_error",
            (Self::Anthropic, 413) => "request_too_large",
            (Self::Anthropic, 503 | 529) => "overloaded_error",
            (Self::Anthropic, 504) => "timeout_error",
            (Self::Anthropic, 500..) => "api_error",
            (Self::OpenAi | Self::Anthropic, _) => "invalid_request_error",
        }
    }

    /// The code of an error in OpenAI's shape whose cause is known by its HTTP status alone.
    pub fn error_code(status: u16) -> Option<&'static str> {
        match status {
            504 => Some("timeout"),
            413 => Some("request_too_large"),
            429 => Some("rate_limit_exceeded"),
            503 => Some("unavailable"),
            _ => None,
        }
    }
}

/// The API of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Api {
    /// A JSON request that names its `model`. An inference server answers it.
    Inference(Shape),
    /// `GET /v1/models`. The filter answers it from its policy.
    Models(Shape),
    /// `GET /v1/models/{id}`, with the id. The filter answers it from its policy.
    Model(Shape, String),
}

/// The reason why a path or method is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unroutable {
    /// No API has this path.
    Path,
    /// The path exists with another method, which is given here.
    Method(&'static str),
}

/// Paths of JSON requests with a `model` field, all `POST`.
const INFERENCE: [(&str, Shape); 9] = [
    ("/v1/chat/completions", Shape::OpenAi),
    ("/v1/completions", Shape::OpenAi),
    ("/v1/responses", Shape::OpenAi),
    ("/v1/embeddings", Shape::OpenAi),
    ("/v1/rerank", Shape::OpenAi),
    ("/v1/score", Shape::OpenAi),
    ("/v1/audio/speech", Shape::OpenAi),
    ("/v1/messages", Shape::Anthropic),
    ("/v1/messages/count_tokens", Shape::Anthropic),
];

/// The paths of inference requests.
pub fn inference_paths() -> impl Iterator<Item = &'static str> {
    INFERENCE.iter().map(|(path, _)| *path)
}

/// A header that every client of Anthropic's API sends.
const ANTHROPIC_HEADER: &str = "anthropic-version";

/// Returns the shape of error responses on a path. The path may be unknown. `headers`: the names of the request's headers.
pub fn shape<'h>(path: &str, headers: impl IntoIterator<Item = &'h str>) -> Shape {
    if let Some((_, shape)) = inference(path) {
        *shape
    } else if headers.into_iter().any(|name| name == ANTHROPIC_HEADER) {
        Shape::Anthropic
    } else {
        Shape::OpenAi
    }
}

fn inference(path: &str) -> Option<&'static (&'static str, Shape)> {
    INFERENCE
        .iter()
        .find(|(known, _)| *known == without_query(path))
}

fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or_default()
}

/// Returns the API of a request. `path` may have a query.
pub fn route(method: &str, path: &str, shape: Shape) -> Result<Api, Unroutable> {
    let (api, allowed) = if inference(path).is_some() {
        (Api::Inference(shape), "POST")
    } else if without_query(path) == "/v1/models" {
        (Api::Models(shape), "GET")
    } else if let Some(id) = without_query(path)
        .strip_prefix("/v1/models/")
        .filter(|id| !id.is_empty())
    {
        (Api::Model(shape, percent_decoded(id)), "GET")
    } else {
        return Err(Unroutable::Path);
    };
    if method == allowed {
        Ok(api)
    } else {
        Err(Unroutable::Method(allowed))
    }
}

/// Decodes a model's name in a path. Some clients escape `/` and `:`.
fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, expect: Result<Api, Unroutable>) {
        assert_eq!(
            route(method, path, shape(path, [])),
            expect,
            "{method} {path}"
        );
    }

    #[test]
    fn paths_and_methods() {
        check(
            "POST",
            "/v1/chat/completions",
            Ok(Api::Inference(Shape::OpenAi)),
        );
        check(
            "POST",
            "/v1/chat/completions?api-version=1",
            Ok(Api::Inference(Shape::OpenAi)),
        );
        check("POST", "/v1/messages", Ok(Api::Inference(Shape::Anthropic)));
        check("GET", "/v1/models", Ok(Api::Models(Shape::OpenAi)));
        check(
            "GET",
            "/v1/models/a%2Fb:c",
            Ok(Api::Model(Shape::OpenAi, "a/b:c".into())),
        );
        check(
            "GET",
            "/v1/models/a/b:c",
            Ok(Api::Model(Shape::OpenAi, "a/b:c".into())),
        );
        check(
            "GET",
            "/v1/chat/completions",
            Err(Unroutable::Method("POST")),
        );
        check("POST", "/v1/models", Err(Unroutable::Method("GET")));
        for unknown in [
            "/",
            "",
            "/v1",
            "/v1/chat/completions/",
            "/v1/files",
            "/metrics",
            "/v1/models/",
        ] {
            check("POST", unknown, Err(Unroutable::Path));
        }
    }

    #[test]
    fn the_error_shape_follows_the_api() {
        assert_eq!(shape("/v1/messages?beta=true", []), Shape::Anthropic);
        assert_eq!(shape("/v1/models", ["anthropic-version"]), Shape::Anthropic);
        assert_eq!(shape("/v1/models", []), Shape::OpenAi);
    }
}
