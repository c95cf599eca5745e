use super::generation::quoted;

/// Whose error shape is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Vllm,
    OpenAi,
    Anthropic,
    /// AWS's, whose name for the error is a header: [`Problem::aws_name`].
    Aws,
}

/// An error answer.
pub(super) struct Problem {
    pub(super) status: u16,
    kind: String,
    message: String,
    param: Option<String>,
    /// OpenAI's errors carry a word where vLLM's carry the status.
    word: Option<&'static str>,
    /// FastAPI's own shape, for paths and methods the server does not have.
    detail: bool,
}

impl Problem {
    fn new(status: u16, kind: &str, message: impl Into<String>, param: Option<&str>) -> Self {
        Self {
            status,
            kind: kind.to_owned(),
            message: message.into(),
            param: param.map(str::to_owned),
            word: None,
            detail: false,
        }
    }

    fn detail(status: u16, message: &str) -> Self {
        Self {
            detail: true,
            ..Self::new(status, "invalid_request_error", message, None)
        }
    }

    pub(super) fn not_found() -> Self {
        Self::detail(404, "Not Found")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::detail(405, "Method Not Allowed")
    }

    pub(super) fn body_too_large() -> Self {
        Self::new(
            413,
            "Request Entity Too Large",
            "The request body is larger than this server accepts.",
            None,
        )
    }

    pub(super) fn unknown_model(model: &str, models: &[String]) -> Self {
        let message = format!(
            "The model `{model}` does not exist. Valid aliases: {}.",
            models.join(", ")
        );
        Self::new(404, "NotFoundError", message, Some("model"))
    }

    pub(super) fn wrong_content_type() -> Self {
        let message =
            "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed";
        Self::new(400, "Bad Request", message, None)
    }

    pub(super) fn bad_json(error: &serde_json::Error) -> Self {
        let place = format!("body.{}", error.column());
        let message = format!(
            "1 validation error:\n  {{'type': 'json_invalid', 'loc': '{place}', 'msg': 'JSON decode error', \
             'input': '<dict of 0 items>', 'ctx': {{'error': 'Expecting value'}}}}"
        );
        Self::new(400, "Bad Request", message, Some(&place))
    }

    /// `field` is `None` if the body itself is missing; `items` counts the fields that came.
    pub(super) fn missing(field: Option<&str>, items: usize) -> Self {
        let place = field.map_or_else(|| "body".to_owned(), |field| format!("body.{field}"));
        let input = if field.is_some() {
            format!("<dict of {items} items>")
        } else {
            "None".to_owned()
        };
        let message = format!(
            "1 validation error:\n  {{'type': 'missing', 'loc': '{place}', 'msg': 'Field required', 'input': '{input}'}}"
        );
        Self::new(400, "Bad Request", message, Some(&place))
    }

    /// `given` tells whether the request had any key; the key itself is never repeated.
    pub(super) fn bad_key(given: bool) -> Self {
        let (message, word) = if given {
            ("Incorrect API key provided.", Some("invalid_api_key"))
        } else {
            (
                "You didn't provide an API key. Send it in an Authorization header using Bearer auth.",
                None,
            )
        };
        Self {
            word,
            ..Self::new(401, "invalid_request_error", message, None)
        }
    }

    pub(super) fn overloaded() -> Self {
        let message = "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.";
        Self {
            word: Some("service_unavailable"),
            ..Self::new(503, "Service Unavailable", message, None)
        }
    }

    /// The error a server gives with this status.
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            503 => Self::overloaded(),
            429 => {
                let message = "Rate limit reached. Please try again later.";
                Self {
                    word: Some("rate_limit_exceeded"),
                    ..Self::new(429, "requests", message, None)
                }
            }
            500 => {
                let message =
                    "EngineCore encountered an issue. See stack trace (above) for the root cause.";
                Self {
                    word: Some("server_error"),
                    ..Self::new(500, "InternalServerError", message, None)
                }
            }
            _ => Self::new(
                status,
                "FakeError",
                format!("The fake was told to answer {status}."),
                None,
            ),
        }
    }

    /// An error of Anthropic's API.
    pub(super) fn anthropic(status: u16, message: impl Into<String>) -> Self {
        let kind = match status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        };
        Self::new(status, kind, message, None)
    }

    /// What AWS calls it.
    pub(super) fn aws_name(&self) -> &'static str {
        match self.status {
            400 => "ValidationException",
            401 | 403 => "AccessDeniedException",
            404 => "ResourceNotFoundException",
            429 => "ThrottlingException",
            503 => "ServiceUnavailableException",
            _ => "InternalServerException",
        }
    }

    /// The JSON text of this error.
    pub(super) fn render(&self, dialect: Dialect) -> String {
        let message = quoted(&self.message);
        if dialect == Dialect::Aws {
            return format!(r#"{{"message":{message}}}"#);
        }
        if self.detail && dialect == Dialect::Vllm {
            return format!(r#"{{"detail":{message}}}"#);
        }
        let kind = quoted(&self.kind);
        let param = self
            .param
            .as_deref()
            .map_or_else(|| "null".to_owned(), quoted);
        let code = match (dialect, self.word) {
            (Dialect::Vllm, _) => self.status.to_string(),
            (_, Some(word)) => quoted(word),
            (_, None) => "null".to_owned(),
        };
        if dialect == Dialect::Anthropic {
            return format!(r#"{{"type":"error","error":{{"type":{kind},"message":{message}}}}}"#);
        }
        format!(
            r#"{{"error":{{"message":{message},"type":{kind},"param":{param},"code":{code}}}}}"#
        )
    }
}
