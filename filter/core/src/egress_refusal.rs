//! Requests that the gateway does not send to a provider.

/// Why a request ends at the way out. Texts are for the caller, without a word of the provider's own about our account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EgressRefusal {
    /// The provider does not have the API that was spoken.
    NoSuchApi,
    /// What the fallback may cost is spent. Seconds until it may cost something again.
    OverBudget(u64),
    /// The provider refuses our credential: nothing that the caller could mend.
    OurCredential,
}

impl EgressRefusal {
    /// HTTP status: the next member of a chain is asked for each.
    pub fn status(self) -> u16 {
        match self {
            Self::NoSuchApi | Self::OverBudget(_) => 503,
            Self::OurCredential => 502,
        }
    }

    /// What the caller is told.
    pub fn message(self) -> &'static str {
        match self {
            Self::NoSuchApi => {
                "no region could serve this request, and there is no fallback for its API"
            }
            Self::OverBudget(_) => {
                "no region could serve this request, and the budget of the fallback is spent"
            }
            Self::OurCredential => {
                "no region could serve this request, and the fallback refused the gateway's credential"
            }
        }
    }
}
