//! How long an attempt may be silent before the next member of the chain is asked as well: longer for a longer prompt,
//! because a server reads all of it before its first token.

use crate::fleet::Limits;
use serde::{Deserialize, Serialize};

/// Bytes of a request body that make a token, about: English text in JSON. Other scripts have fewer.
const TOKEN_BYTES: u64 = 4;

/// The limits of a zone's requests for a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patience {
    /// For a streamed answer to a prompt without length, in milliseconds.
    pub first_token_ms: u64,
    /// The same for an answer that is not streamed.
    pub unstreamed_ms: u64,
    /// Tokens of a prompt that a server reads in a second.
    pub prefill_rate: u32,
    /// What no prompt takes a limit past, in milliseconds.
    pub longest_ms: u64,
}

impl Patience {
    /// What these limits allow. No prompt takes more than half of the whole answer's time, so that the member that is asked
    /// next has the other half, and because Envoy ignores a limit for an attempt that is not below the one for all.
    pub fn of(limits: &Limits) -> Self {
        let ms =
            |duration: std::time::Duration| duration.as_millis().try_into().unwrap_or(u64::MAX);
        Self {
            first_token_ms: ms(limits.first_token),
            unstreamed_ms: ms(limits.unstreamed),
            prefill_rate: limits.prefill_rate,
            longest_ms: ms(limits.answer / 2),
        }
    }

    /// The limit of each attempt, in milliseconds, for a request body of so many bytes.
    pub fn limit_ms(&self, stream: bool, body: usize) -> u64 {
        let base = if stream {
            self.first_token_ms
        } else {
            self.unstreamed_ms
        };
        let tokens = body as u64 / TOKEN_BYTES;
        let prefill = tokens.saturating_mul(1000) / u64::from(self.prefill_rate.max(1));
        base.saturating_add(prefill).min(base.max(self.longest_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_with_the_prompt_up_to_a_bound() {
        let patience = Patience {
            first_token_ms: 10_000,
            unstreamed_ms: 120_000,
            prefill_rate: 2000,
            longest_ms: 300_000,
        };
        for (stream, body, limit) in [
            (true, 0, 10_000),
            (true, 400, 10_050),
            (true, 8_000, 11_000),
            (true, 512 << 10, 75_536),
            (false, 8_000, 121_000),
            (true, 64 << 20, 300_000),
            (false, 64 << 20, 300_000),
            (true, usize::MAX, 300_000),
        ] {
            assert_eq!(patience.limit_ms(stream, body), limit, "{stream} {body}");
        }
        let at_the_bound = Patience {
            unstreamed_ms: 500_000,
            ..patience
        };
        assert_eq!(at_the_bound.limit_ms(false, 8_000), 500_000);
    }
}
