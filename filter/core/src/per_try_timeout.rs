//! The per-try timeout: after this silence Envoy also tries the next member. It grows with the prompt, because a server reads
//! the whole prompt before its first token.
//!
//! It follows what the gateway sees. A whole answer is given up after twice the longest one lately, which is far less than its
//! limit where answers are short. Where every region has a queue, asking another one as well would only make the queues longer: a
//! first token is then waited for twice as long as the soonest region takes.

use crate::pace::{PoolPace, soonest};
use meridian_policy::filter_policy::PerTryTimeout;

/// Approximate bytes of a request body per token, for English text in JSON. Other scripts have fewer bytes per token.
const TOKEN_BYTES: u64 = 4;

/// By how much an answer may be later than those before it.
const TOLERANCE: f64 = 2.0;

/// The per-try timeout for a request body of this many bytes, in milliseconds. `regions`: how soon those of the chain answer.
pub fn limit_ms(
    timeout: &PerTryTimeout,
    stream: bool,
    body: usize,
    regions: &[PoolPace],
    now_ms: u64,
) -> u64 {
    let tolerated = |seconds: f64| (seconds * TOLERANCE * 1000.0) as u64;
    let first_token = timeout.first_token_ms;
    let base = if stream {
        let has_others = regions.len() > 1;
        let soonest = has_others.then(|| soonest(regions, now_ms)).flatten();
        soonest.map_or(first_token, |soonest| first_token.max(tolerated(soonest)))
    } else {
        let longest = regions
            .iter()
            .filter_map(|region| region.whole.longest(now_ms))
            .reduce(f64::max);
        longest.map_or(timeout.unstreamed_ms, |longest| {
            let least = first_token.min(timeout.unstreamed_ms);
            tolerated(longest).clamp(least, timeout.unstreamed_ms)
        })
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
            assert_eq!(
                limit_ms(&timeout, stream, body, &[], 0),
                limit,
                "{stream} {body}"
            );
        }
        let at_the_bound = PerTryTimeout {
            unstreamed_ms: 500_000,
            ..timeout
        };
        assert_eq!(limit_ms(&at_the_bound, false, 8_000, &[], 0), 500_000);
    }
}
