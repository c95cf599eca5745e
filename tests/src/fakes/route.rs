use hyper::Method;

use super::bedrock;
use super::behaviour::Kind;

/// The inference endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    Chat,
    Completions,
    Embeddings,
    Responses,
    Messages,
}

const APIS: [Api; 5] = [
    Api::Chat,
    Api::Completions,
    Api::Embeddings,
    Api::Responses,
    Api::Messages,
];

impl Api {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Responses => "/v1/responses",
            Self::Messages => "/v1/messages",
        }
    }

    pub(super) fn prompt_field(self) -> &'static str {
        match self {
            Self::Chat | Self::Messages => "messages",
            Self::Completions => "prompt",
            Self::Embeddings | Self::Responses => "input",
        }
    }
}

fn has(kind: &Kind, api: Api) -> bool {
    match kind {
        Kind::Pool { .. } => true,
        Kind::Provider { .. } => api != Api::Messages,
        Kind::Anthropic { .. } | Kind::Vertex { .. } | Kind::Bedrock { .. } => api == Api::Messages,
    }
}

/// What a path and a method lead to on the data port.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Inference(Api),
    Models,
    Model(String),
    Health,
    Load,
    Metrics,
    WrongMethod { allow: &'static str },
    Unknown,
}

impl Route {
    pub(super) fn of(kind: &Kind, method: &Method, path: &str) -> Self {
        let invokes = match kind {
            Kind::Vertex { path: model, .. } => matches!(
                path.strip_prefix(model.as_str()),
                Some(":rawPredict" | ":streamRawPredict")
            ),
            Kind::Bedrock { model, .. } => bedrock::streams(model, path).is_some(),
            Kind::Pool { .. } | Kind::Provider { .. } | Kind::Anthropic { .. } => {
                return Self::of_path(kind, method, path);
            }
        };
        if invokes && method == Method::POST {
            Self::Inference(Api::Messages)
        } else {
            Self::Unknown
        }
    }

    /// The route at a server that has the APIs at their own paths.
    fn of_path(kind: &Kind, method: &Method, path: &str) -> Self {
        let mut apis = APIS.into_iter();
        let (route, allow) = match apis.find(|api| api.path() == path && has(kind, *api)) {
            Some(api) => (Self::Inference(api), "POST"),
            None => (Self::of_get(kind, path), "GET"),
        };
        if method.as_str() == allow || matches!(route, Self::Unknown) {
            route
        } else {
            Self::WrongMethod { allow }
        }
    }

    /// What is read: models, and a pool's probes.
    fn of_get(kind: &Kind, path: &str) -> Self {
        let pool = matches!(kind, Kind::Pool { .. });
        match path {
            "/v1/models" => Self::Models,
            "/health" | "/ping" if pool => Self::Health,
            "/load" if pool => Self::Load,
            "/metrics" | "/metrics/" if pool => Self::Metrics,
            _ => match path.strip_prefix("/v1/models/") {
                // Clients escape the slash of names such as `org/model`.
                Some(id) => Self::Model(id.replace("%2F", "/")),
                None => Self::Unknown,
            },
        }
    }

    /// The route's pattern, as it labels `http_requests_total`.
    pub(super) fn pattern(&self) -> &'static str {
        match self {
            Self::Inference(api) => api.path(),
            Self::Models => "/v1/models",
            Self::Model(_) => "/v1/models/{model_id}",
            Self::Health
            | Self::Load
            | Self::Metrics
            | Self::WrongMethod { .. }
            | Self::Unknown => "none",
        }
    }

    /// Probes are neither recorded nor counted as HTTP requests.
    pub(super) fn is_probe(&self) -> bool {
        matches!(self, Self::Health | Self::Load | Self::Metrics)
    }
}
