//! What leaves for a hosted provider: an allow-list of request headers, and the APIs that it has.

/// Headers that describe the request itself. Every other says who the caller is, how it came here, or is a credential.
const GOES_ON: [&str; 9] = [
    "accept",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "user-agent",
    // Envoy's own (`http` or `https`), without which it finds no route.
    "x-forwarded-proto",
];

/// Paths that an OpenAI-compatible provider has.
const OPENAI_COMPATIBLE: [&str; 5] = [
    "/v1/audio/speech",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
];

/// Why a request ends at the way out. Texts are for the caller, without a word of the provider's own about our account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The provider does not have the API that was spoken.
    NoSuchApi,
    /// The provider refuses our credential: nothing that the caller could mend.
    OurCredential,
}

impl Stopped {
    /// HTTP status: the next member of a chain is asked for both.
    pub fn status(self) -> u16 {
        match self {
            Self::NoSuchApi => 503,
            Self::OurCredential => 502,
        }
    }

    /// What the caller is told.
    pub fn message(self) -> &'static str {
        match self {
            Self::NoSuchApi => {
                "no region could serve this request, and there is no fallback for its API"
            }
            Self::OurCredential => {
                "no region could serve this request, and the fallback refused the gateway's credential"
            }
        }
    }
}

/// Whether a request header goes on to the provider. Pseudo-headers do.
pub fn goes_on(name: &str) -> bool {
    name.starts_with(':') || GOES_ON.contains(&name)
}

/// Whether the provider has the API of a path, which may carry a query.
pub fn admit(path: &str) -> Result<(), Stopped> {
    let path = path.split('?').next().unwrap_or_default();
    if OPENAI_COMPATIBLE.contains(&path) {
        Ok(())
    } else {
        Err(Stopped::NoSuchApi)
    }
}

/// Whether an answer of this status is for the caller.
pub fn judge(status: &[u8]) -> Result<(), Stopped> {
    if matches!(status, b"401" | b"403") {
        Err(Stopped::OurCredential)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_about_the_caller_goes_on() {
        for name in [
            "content-type",
            ":path",
            ":authority",
            "user-agent",
            "transfer-encoding",
        ] {
            assert!(goes_on(name), "{name}");
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
            "",
        ] {
            assert!(!goes_on(name), "{name}");
        }
    }

    #[test]
    fn what_a_provider_has_and_says() {
        assert_eq!(admit("/v1/chat/completions?x=1"), Ok(()));
        assert_eq!(admit("/v1/messages"), Err(Stopped::NoSuchApi));
        assert_eq!(admit("/v1/rerank"), Err(Stopped::NoSuchApi));
        assert_eq!(judge(b"401"), Err(Stopped::OurCredential));
        assert_eq!(judge(b"200"), Ok(()));
        assert_eq!(judge(b"429"), Ok(()));
    }
}
