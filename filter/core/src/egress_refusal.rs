//! Requests that the gateway does not send to a provider.

/// The reason why a request ends at the gateway. The texts are for the caller. They reveal nothing about the operator's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EgressRefusal {
    /// The provider does not have the API of the request.
    NoSuchApi,
    /// The policy does not know the definition of the zone that the request was decided under.
    UnknownDefinition,
    /// The fallback's budget is spent. Seconds until it has room again.
    OverBudget(u64),
    /// The provider has refused the operator's credential. The caller cannot fix it.
    OurCredential,
    /// The provider redirects the request to another place.
    Redirect,
}

impl EgressRefusal {
    /// The HTTP status. Envoy tries the next member of the chain for each of them.
    pub fn status(self) -> u16 {
        match self {
            Self::NoSuchApi | Self::UnknownDefinition | Self::OverBudget(_) => 503,
            Self::OurCredential | Self::Redirect => 502,
        }
    }

    /// The message for the caller.
    pub fn message(self) -> &'static str {
        match self {
            Self::NoSuchApi => {
                "no region could serve this request, and there is no fallback for its API"
            }
            Self::UnknownDefinition => {
                "the rules of this zone have just changed, and the fallback does not have those of this request; try again"
            }
            Self::OverBudget(_) => {
                "no region could serve this request, and the budget of the fallback is spent"
            }
            Self::OurCredential => {
                "no region could serve this request, and the fallback refused the gateway's credential"
            }
            Self::Redirect => {
                "no region could serve this request, and the fallback redirects it, which the gateway does not follow"
            }
        }
    }
}
