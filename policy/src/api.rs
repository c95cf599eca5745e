//! The inference APIs by path: what is let through, how the model is read, and in whose shape errors are answered.

/// Whose shape an error has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{"error":{"message","type","param","code"}}`
    OpenAi,
    /// `{"type":"error","error":{"type","message"}}`
    Anthropic,
}

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Api {
    /// A JSON request that names its `model`: an inference server answers it.
    Inference(Shape),
    /// `GET /v1/models`: the filter answers it, from the policy.
    Models(Shape),
    /// `GET /v1/models/{id}`, with the id.
    Model(Shape, String),
}

/// Why a path or method is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unroutable {
    /// No API here has this path.
    Path,
    /// The path exists with another method: the one allowed.
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

/// Callers of Anthropic's API always send this header.
const ANTHROPIC_HEADER: &str = "anthropic-version";

/// The shape in which an error on this path is answered, known path or not.
pub fn shape(path: &str, headers: &[(String, String)]) -> Shape {
    if let Some((_, shape)) = inference(path) {
        *shape
    } else if headers.iter().any(|(name, _)| name == ANTHROPIC_HEADER) {
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

/// Finds the API of a request. `path` may carry a query.
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

/// Clients escape the `/` and `:` of a model's name in a path, or do not.
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
            route(method, path, shape(path, &[])),
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
    fn errors_have_the_shape_of_the_api_that_was_spoken() {
        assert_eq!(shape("/v1/messages?beta=true", &[]), Shape::Anthropic);
        assert_eq!(
            shape(
                "/v1/models",
                &[("anthropic-version".into(), "2023-06-01".into())]
            ),
            Shape::Anthropic
        );
        assert_eq!(shape("/v1/models", &[]), Shape::OpenAi);
    }
}
