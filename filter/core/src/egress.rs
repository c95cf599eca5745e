//! Requests to a hosted provider: the allowed request headers, the provider's APIs, and the need for a translation.

use crate::allowed_fields::{self, Allowance, Violation};
use crate::claude::{Api, COUNT_TOKENS, MESSAGES, VERSION};
use crate::edit::Edit;
use crate::egress_refusal::EgressRefusal;
use meridian_policy::egress_policy::{Claude, ClaudeHost, EgressPolicy, Provider, Renames};
use meridian_policy::headers;
use std::collections::BTreeSet;

/// Request headers that a provider may see. All others identify the caller, describe the route, or are credentials.
const ALLOWED_HEADERS: [&str; 9] = [
    "accept",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "user-agent",
    // Envoy's own (`http` or `https`). Envoy finds no route without it.
    "x-forwarded-proto",
];

/// Response headers of a provider that a caller may see. All others describe the operator's account, or send the caller elsewhere.
const ALLOWED_RESPONSE_HEADERS: [&str; 8] = [
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "transfer-encoding",
    // Ours: the fallback that answered.
    headers::REGION,
];

/// Paths of an OpenAI-compatible provider. None of them has query parameters in OpenAI's reference.
const OPENAI_COMPATIBLE_PATHS: [&str; 5] = [
    "/v1/audio/speech",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
];

/// The fields that a request may have on its way to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restriction {
    /// Fields and tools that are not listed are refused. The translation for Claude refuses or drops them itself.
    listed_only: bool,
    /// Types of tools that the provider may run.
    tools: BTreeSet<String>,
    /// The provider may fetch content that the request names by URL.
    remote_content: bool,
    /// The provider keeps chats by default.
    keeps_chats: bool,
}

impl Restriction {
    /// The restriction of a definition's requests to a path. `None`: there is none.
    ///
    /// # Errors
    /// The policy does not know the definition.
    pub fn of(
        policy: &EgressPolicy,
        mode: EgressMode<'_>,
        definition: &str,
    ) -> Result<Option<Self>, EgressRefusal> {
        let pinned = policy.pinned.get(definition);
        let Some(tools) = pinned.or_else(|| policy.unpinned.get(definition)) else {
            return Err(EgressRefusal::UnknownDefinition);
        };
        let is_pinned = pinned.is_some();
        let is_native = match mode {
            EgressMode::Claude(_, api) => Some(api.is_native()),
            EgressMode::Passthrough | EgressMode::Rename(_) => None,
        };
        Ok(match is_native {
            // Claude is given listed fields alone in any zone.
            Some(true) => Some(Self {
                listed_only: true,
                keeps_chats: false,
                remote_content: !is_pinned,
                tools: tools.clone(),
            }),
            _ if !is_pinned => None,
            is_native => Some(Self {
                listed_only: is_native.is_none(),
                keeps_chats: policy.keeps_chats,
                remote_content: false,
                tools: tools.clone(),
            }),
        })
    }

    /// Checks a body, and returns what is to be changed in it.
    ///
    /// # Errors
    /// The first field that is not allowed.
    pub fn check(&self, path: &str, body: &[u8]) -> Result<Vec<Edit>, Violation> {
        let path = without_query(path);
        let allowance = Allowance {
            // Every server of the other API keeps what it answers.
            forbids_store: self.listed_only && (self.keeps_chats || path == "/v1/responses"),
            listed_only: self.listed_only,
            tools: &self.tools,
            remote_content: self.remote_content,
        };
        allowed_fields::check(path, body, allowance)
    }
}

/// How a request is sent to its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EgressMode<'p> {
    /// The provider speaks the request's API.
    Passthrough,
    /// The same, and has other names for models.
    Rename(&'p Renames),
    /// The provider speaks Anthropic's API, and the request this one.
    Claude(&'p Claude, Api),
}

impl EgressMode<'_> {
    /// Whether the provider may see a request header. It may see all pseudo-headers.
    pub fn allows_header(self, name: &str) -> bool {
        match self {
            // Bedrock's streams are not server-sent events, whatever the caller accepts.
            Self::Claude(claude, _) if claude.host == ClaudeHost::Bedrock && name == "accept" => {
                false
            }
            Self::Claude(_, api) if api.is_native() && name == VERSION.0 => true,
            _ => name.starts_with(':') || ALLOWED_HEADERS.contains(&name),
        }
    }
}

/// Returns how a request to a path is sent to the provider. `path` may have a query.
///
/// # Errors
/// The provider does not have the API.
pub fn mode<'p>(policy: &'p EgressPolicy, path: &str) -> Result<EgressMode<'p>, EgressRefusal> {
    let path = without_query(path);
    match &policy.provider {
        Provider::OpenaiCompatible if OPENAI_COMPATIBLE_PATHS.contains(&path) => {
            let renames = &policy.renames;
            Ok(if renames.is_empty() {
                EgressMode::Passthrough
            } else {
                EgressMode::Rename(renames)
            })
        }
        Provider::Claude(claude) => {
            let api = match path {
                "/v1/chat/completions" => Api::Chat,
                "/v1/responses" => Api::Responses,
                MESSAGES => Api::Messages,
                // Bedrock has another API for counting tokens.
                COUNT_TOKENS if claude.host != ClaudeHost::Bedrock => Api::CountTokens,
                _ => return Err(EgressRefusal::NoSuchApi),
            };
            Ok(EgressMode::Claude(claude, api))
        }
        Provider::OpenaiCompatible => Err(EgressRefusal::NoSuchApi),
    }
}

/// Whether a caller may see a response header of a provider. It may see all pseudo-headers.
pub fn allows_response_header(name: &str) -> bool {
    name.starts_with(':') || ALLOWED_RESPONSE_HEADERS.contains(&name)
}

/// A path without its query. A provider gets no query parameters: callers may have put credentials there. Anthropic's `beta=true`
/// selects the same API.
pub fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or_default()
}

/// Checks whether the caller may see a response with this status.
///
/// # Errors
/// The provider has refused the operator's credential, or redirects the request.
pub fn check_status(status: &[u8]) -> Result<(), EgressRefusal> {
    match status {
        b"401" | b"403" => Err(EgressRefusal::OurCredential),
        _ if is_redirect(status) => Err(EgressRefusal::Redirect),
        _ => Ok(()),
    }
}

/// Whether a status is of the class 3xx.
pub fn is_redirect(status: &[u8]) -> bool {
    status.starts_with(b"3")
}

/// Whether a response was processed outside of the fallback's jurisdiction, by its reported `inference_geo`.
pub fn violates_jurisdiction(policy: &EgressPolicy, inference_geo: &str) -> bool {
    let known = !policy.jurisdiction.is_empty() && inference_geo != "not_available";
    let mut allowed = ["global", inference_geo].into_iter();
    known && !allowed.any(|name| policy.jurisdiction.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use meridian_policy::egress_policy::Budget;

    fn claude() -> Claude {
        Claude {
            host: ClaudeHost::Anthropic,
            model: "claude-x".into(),
            max_tokens: 1,
            inference_geo: None,
            max_body: None,
        }
    }

    fn policy(provider: Provider) -> EgressPolicy {
        EgressPolicy {
            fallback: "claude".parse().unwrap(),
            provider,
            jurisdiction: [].into(),
            budget: Budget::default(),
            price: None,
            context: None,
            renames: Renames::default(),
            keeps_chats: false,
            unpinned: [].into(),
            pinned: [].into(),
        }
    }

    #[test]
    fn headers_about_the_caller_are_not_allowed() {
        for name in [
            "content-type",
            ":path",
            ":authority",
            "user-agent",
            "transfer-encoding",
        ] {
            assert!(EgressMode::Passthrough.allows_header(name), "{name}");
        }
        for name in [
            "authorization",
            "cookie",
            "x-api-key",
            "apikey",
            "ocp-apim-subscription-key",
            "token",
            "forwarded",
            "via",
            "x-forwarded-for",
            "baggage",
            "traceparent",
            "referer",
            "origin",
            "x-meridian-zone",
            "cf-ipcountry",
            "anthropic-beta",
            "",
        ] {
            assert!(
                !EgressMode::Claude(&claude(), Api::Messages).allows_header(name),
                "{name}"
            );
        }
        assert!(EgressMode::Claude(&claude(), Api::Messages).allows_header("anthropic-version"));
        assert!(!EgressMode::Passthrough.allows_header("anthropic-version"));
    }

    #[test]
    fn response_headers_about_the_account_are_not_allowed() {
        for name in [
            ":status",
            "content-type",
            "retry-after",
            "x-meridian-region",
        ] {
            assert!(allows_response_header(name), "{name}");
        }
        for name in [
            "anthropic-organization-id",
            "anthropic-ratelimit-tokens-remaining",
            "cf-ray",
            "location",
            "openai-organization",
            "openai-project",
            "request-id",
            "server",
            "set-cookie",
            "via",
            "x-envoy-ratelimited",
            "x-meridian-retry",
            "x-ratelimit-limit-requests",
            "x-request-id",
            "",
        ] {
            assert!(!allows_response_header(name), "{name}");
        }
    }

    #[test]
    fn paths_and_statuses_of_providers() {
        let compatible = policy(Provider::OpenaiCompatible);
        assert_eq!(
            mode(&compatible, "/v1/chat/completions?x=1"),
            Ok(EgressMode::Passthrough)
        );
        assert_eq!(
            mode(&compatible, "/v1/messages"),
            Err(EgressRefusal::NoSuchApi)
        );
        assert_eq!(
            mode(&compatible, "/v1/rerank"),
            Err(EgressRefusal::NoSuchApi)
        );
        let claude = claude();
        let anthropic = policy(Provider::Claude(claude.clone()));
        assert_eq!(
            mode(&anthropic, "/v1/chat/completions"),
            Ok(EgressMode::Claude(&claude, Api::Chat))
        );
        for (path, api) in [
            ("/v1/messages?beta=true", Api::Messages),
            ("/v1/messages/count_tokens", Api::CountTokens),
        ] {
            assert_eq!(mode(&anthropic, path), Ok(EgressMode::Claude(&claude, api)));
        }
        for path in [
            "/v1/embeddings",
            "/v1/completions",
            "/v1/responses/resp_1",
            "/v1/messages/batches",
        ] {
            assert_eq!(
                mode(&anthropic, path),
                Err(EgressRefusal::NoSuchApi),
                "{path}"
            );
        }
        let bedrock = policy(Provider::Claude(Claude {
            host: ClaudeHost::Bedrock,
            ..claude.clone()
        }));
        assert_eq!(mode(&bedrock, COUNT_TOKENS), Err(EgressRefusal::NoSuchApi));
        let mode = mode(&bedrock, MESSAGES).unwrap();
        assert!(!mode.allows_header("accept") && mode.allows_header("content-type"));
        assert_eq!(check_status(b"401"), Err(EgressRefusal::OurCredential));
        for status in [b"300", b"302", b"304", b"307", b"308"] {
            assert_eq!(check_status(status), Err(EgressRefusal::Redirect));
        }
        assert_eq!(check_status(b"200"), Ok(()));
        assert_eq!(check_status(b"429"), Ok(()));
    }
    #[test]
    fn jurisdiction_violations() {
        let policy = |jurisdiction: &[&str]| EgressPolicy {
            jurisdiction: jurisdiction.iter().map(|name| (*name).to_owned()).collect(),
            ..policy(Provider::OpenaiCompatible)
        };
        assert!(violates_jurisdiction(&policy(&["us"]), "global"));
        assert!(violates_jurisdiction(&policy(&["eea", "us"]), "eu"));
        for fine in ["us", "not_available"] {
            assert!(!violates_jurisdiction(&policy(&["us"]), fine), "{fine}");
        }
        assert!(!violates_jurisdiction(&policy(&["global"]), "us"));
        assert!(!violates_jurisdiction(&policy(&[]), "us"));
    }
}
