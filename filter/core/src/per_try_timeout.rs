//! The per-try timeout: after this silence Envoy also tries the next member. It grows with the prompt, because a server reads
//! the whole prompt before its first token.
//!
//! It follows what the gateway sees. A whole answer is given up after twice the longest one lately, which is far less than its
//! limit where answers are short. Where every region has a queue, asking another one as well would only make the queues longer: a
//! first token is then waited for twice as long as the soonest region takes, or to the end if the budget of hedges is used up.

use crate::pace::{PoolPace, soonest};
use meridian_policy::filter_policy::PerTryTimeout;

/// Approximate bytes of a request body per token, for English text in JSON. Other scripts have fewer bytes per token.
const TOKEN_BYTES: u64 = 4;

/// By how much an answer may be later than those before it.
const TOLERANCE: f64 = 2.0;

/// What the gateway sees of a chain's regions.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// How soon each of them answers.
    pub regions: &'a [PoolPace],
    /// The budget of hedges is used up.
    pub hedges_used_up: bool,
    /// The time by the gateway's own clock, in milliseconds.
    pub now_ms: u64,
}

/// The per-try timeout for a request body of this many bytes, in milliseconds.
pub fn limit_ms(timeout: &PerTryTimeout, stream: bool, body: usize, seen: &Seen<'_>) -> u64 {
    let &Seen {
        regions, now_ms, ..
    } = seen;
    let tolerated = |seconds: f64| (seconds * TOLERANCE * 1000.0) as u64;
    let first_token = timeout.first_token_ms;
    let base = if stream {
        let has_others = regions.len() > 1;
        let soonest = has_others.then(|| soonest(regions, now_ms)).flatten();
        let soonest = soonest.map_or(0, tolerated);
        // Every region may have to be waited for, one after the other.
        let longest = timeout.longest_ms / regions.len().max(1) as u64;
        let longer = if seen.hedges_used_up && soonest > first_token / 2 {
            longest
        } else {
            soonest.min(longest)
        };
        first_token.max(longer)
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

    const TIMEOUT: PerTryTimeout = PerTryTimeout {
        first_token_ms: 10_000,
        unstreamed_ms: 120_000,
        prefill_rate: 2000,
        longest_ms: 300_000,
    };

    /// A region whose answers took so many seconds, streamed and whole, where so many attempts wait.
    fn region(seconds: f64, waiting: u32) -> PoolPace {
        let mut pace = PoolPace::default();
        for now in 0..40 {
            for streamed in [true, false] {
                let awaited = pace.begin(streamed, now);
                pace.answered(awaited, seconds, now);
            }
        }
        for _ in 0..waiting {
            pace.begin(true, 40);
        }
        pace
    }

    fn seen(regions: &[PoolPace]) -> Seen<'_> {
        Seen {
            regions,
            hedges_used_up: false,
            now_ms: 40,
        }
    }

    #[test]
    fn grows_with_the_prompt_up_to_a_bound() {
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
                limit_ms(&TIMEOUT, stream, body, &seen(&[])),
                limit,
                "{stream} {body}"
            );
        }
        let at_the_bound = PerTryTimeout {
            unstreamed_ms: 500_000,
            ..TIMEOUT
        };
        assert_eq!(limit_ms(&at_the_bound, false, 8_000, &seen(&[])), 500_000);
    }

    #[test]
    fn a_whole_answer_is_given_up_after_twice_the_longest_one_lately() {
        // Old samples count a little less.
        let limit = |regions: &[PoolPace]| {
            limit_ms(&TIMEOUT, false, 0, &seen(regions)).next_multiple_of(10)
        };
        assert_eq!(limit(&[PoolPace::default()]), 120_000, "nothing is known");
        assert_eq!(limit(&[region(1.0, 0)]), 10_000, "no sooner than a token");
        assert_eq!(limit(&[region(1.0, 0), region(20.0, 0)]), 40_000);
        assert_eq!(
            limit(&[region(90.0, 0)]),
            120_000,
            "no later than its limit"
        );
    }

    #[test]
    fn where_every_region_has_a_queue_nobody_is_asked_as_well_too_soon() {
        let limit = |regions: &[PoolPace]| limit_ms(&TIMEOUT, true, 0, &seen(regions));
        let queue = region(1.0, 19);
        assert_eq!(limit(&[queue]), 10_000, "there is no other region");
        assert_eq!(limit(&[queue, queue]), 40_000);
        assert_eq!(limit(&[region(1.0, 39), queue]), 40_000, "the soonest");
        assert_eq!(limit(&[queue, region(1.0, 0)]), 10_000);
        let unknown = PoolPace::default();
        assert_eq!(limit(&[queue, unknown]), 10_000, "it is idle");
        let mut unknown_queue = unknown;
        (0..4).for_each(|_| {
            unknown_queue.begin(true, 40);
        });
        assert_eq!(limit(&[queue, unknown_queue]), 40_000);
        let used_up = |regions: &[PoolPace]| {
            let seen = Seen {
                hedges_used_up: true,
                ..seen(regions)
            };
            limit_ms(&TIMEOUT, true, 0, &seen)
        };
        assert_eq!(used_up(&[queue, queue]), 150_000, "no more hedges");
        assert_eq!(used_up(&[queue, region(1.0, 0)]), 10_000, "one is idle");
    }
}
