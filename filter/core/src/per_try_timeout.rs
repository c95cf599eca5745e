//! The per-try timeout: after this silence Envoy also tries the next member. It grows with the prompt, because a server reads
//! the whole prompt before its first token.

use meridian_policy::filter_policy::PerTryTimeout;

/// Approximate bytes of a request body per token, for English text in JSON. Other scripts have fewer bytes per token.
const TOKEN_BYTES: u64 = 4;

/// The per-try timeout for a request body of this many bytes, in milliseconds.
pub fn limit_ms(timeout: &PerTryTimeout, stream: bool, body: usize) -> u64 {
    let base = if stream {
        timeout.first_token_ms
    } else {
        timeout.unstreamed_ms
    };
    let tokens = body as u64 / TOKEN_BYTES;
    let prefill = tokens.saturating_mul(1000) / u64::from(timeout.prefill_rate.max(1));
    base.saturating_add(prefill)
        .min(base.max(timeout.longest_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_with_the_prompt_up_to_a_bound() {
        let timeout = PerTryTimeout {
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
            assert_eq!(limit_ms(&timeout, stream, body), limit, "{stream} {body}");
        }
        let at_the_bound = PerTryTimeout {
            unstreamed_ms: 500_000,
            ..timeout
        };
        assert_eq!(limit_ms(&at_the_bound, false, 8_000), 500_000);
    }
}
