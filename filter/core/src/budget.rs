//! The budget of a fallback: a limit of requests in any minute, and a limit of dollars in any hour.
//!
//! The cost of a request is unknown until its response ends. So [`Spending::admit`] reserves the maximum cost, and
//! [`Spending::settle`] replaces it by the actual cost. Concurrent requests cannot spend the same dollar.

use crate::claude::{Tokens, Usage};
use crate::sliding_window::SlidingWindow;
use meridian_policy::egress_policy::{Budget, Price};

/// The cost of a response, in billionths of a US dollar.
pub fn cost(price: &Price, usage: &Usage) -> u64 {
    let cost = |tokens: Option<u64>, price: u64| tokens.unwrap_or(0).saturating_mul(price);
    cost(usage.input_tokens, price.input)
        .saturating_add(cost(usage.cache_read_input_tokens, price.cache_read))
        .saturating_add(cost(usage.cache_creation_input_tokens, price.cache_write))
        .saturating_add(cost(usage.output_tokens, price.output))
}

/// Estimates the cost of a request. `context`: maximum length of a prompt in tokens, if known.
pub fn estimate(price: &Price, tokens: Tokens, context: Option<u32>) -> Estimate {
    let prompt = tokens.prompt.min(context.map_or(MAX_CONTEXT, u64::from));
    Estimate {
        prompt: prompt.saturating_mul(price.input.max(price.cache_write)),
        answer: tokens.answer.saturating_mul(price.output),
    }
}

/// The cost of a response by its reported usage. A response that reports no prompt tokens costs the estimated prompt.
pub fn cost_so_far(price: &Price, usage: &Usage, estimate: Estimate) -> u64 {
    let prompt = match usage.input_tokens {
        Some(_) => 0,
        None => estimate.prompt,
    };
    cost(price, usage).saturating_add(prompt)
}

/// Maximum prompt of any Claude model, in tokens.
const MAX_CONTEXT: u64 = 1_000_000;

/// The estimated cost of a request, in billionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Approximate cost of the prompt.
    pub prompt: u64,
    /// Maximum cost of the completion.
    pub answer: u64,
}

impl Estimate {
    fn all(self) -> u64 {
        self.prompt.saturating_add(self.answer)
    }

    /// The cost of a response that has reported no usage. An unstreamed response may be complete before its first byte arrives,
    /// so it costs the full estimate.
    pub fn without_usage(self, stream: bool) -> u64 {
        if stream { self.prompt } else { self.all() }
    }
}

/// A request that exceeds the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetExceeded {
    /// The exceeded limit: `requests` or `usd`. `busy` if the request could not be counted.
    pub limit: &'static str,
    /// Seconds until the budget has room again.
    pub retry_after: u64,
}

/// The requests of the last minute and the cost of the last hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    requests: SlidingWindow<SECOND>,
    nanousd: SlidingWindow<MINUTE>,
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;

/// An admitted request, with its reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    at: u64,
    reserved: u64,
}

impl Spending {
    /// Admits a request if the budget has room, and reserves its cost. A request with a larger estimate than the whole budget
    /// needs the whole budget. `now_ms`: milliseconds by a clock that all workers share.
    ///
    /// # Errors
    /// The budget has no room.
    pub fn admit(
        &mut self,
        budget: &Budget,
        estimate: Estimate,
        now_ms: u64,
    ) -> Result<Admitted, BudgetExceeded> {
        let reserved = estimate.all().min(budget.nanousd.unwrap_or(u64::MAX));
        let waits = [
            ("requests", self.requests.wait(1, budget.requests, now_ms)),
            ("usd", self.nanousd.wait(reserved, budget.nanousd, now_ms)),
        ];
        let longest = waits.into_iter().max_by_key(|(_, wait)| *wait);
        if let Some((limit, wait @ 1..)) = longest {
            return Err(BudgetExceeded {
                limit,
                retry_after: wait.div_ceil(SECOND),
            });
        }
        self.requests.add(now_ms, 1);
        self.nanousd.add(now_ms, reserved);
        Ok(Admitted {
            at: now_ms,
            reserved,
        })
    }

    /// Cancels a request that never reached its provider.
    pub fn give_back(&mut self, admitted: Admitted, now_ms: u64) {
        self.requests
            .change(admitted.at, now_ms, |requests| requests.saturating_sub(1));
        self.settle(admitted, 0, now_ms);
    }

    /// Replaces a request's reservation by its cost, in billionths of a US dollar.
    pub fn settle(&mut self, admitted: Admitted, cost: u64, now_ms: u64) {
        self.nanousd.change(admitted.at, now_ms, |spent| {
            spent.saturating_sub(admitted.reserved).saturating_add(cost)
        });
    }

    /// Serializes for the shared memory of an Envoy's workers.
    pub fn to_bytes(&self) -> Vec<u8> {
        let all = self.requests.numbers().chain(self.nanousd.numbers());
        all.flat_map(u64::to_le_bytes).collect()
    }

    /// Deserializes [`Spending::to_bytes`]. Other bytes give an empty account.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let (numbers, _) = bytes.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|number| u64::from_le_bytes(*number));
        let all = (
            SlidingWindow::read(&mut numbers),
            SlidingWindow::read(&mut numbers),
        );
        match all {
            (Some(requests), Some(nanousd)) => Self { requests, nanousd },
            _ => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_800_000_000_000;

    fn requests(limit: u64) -> Budget {
        Budget {
            requests: Some(limit),
            nanousd: None,
        }
    }

    fn usd(nanousd: u64) -> Budget {
        Budget {
            requests: None,
            nanousd: Some(nanousd),
        }
    }

    fn costs(answer: u64) -> Estimate {
        Estimate { prompt: 0, answer }
    }

    #[test]
    fn a_request_past_the_limit_waits_until_the_first_expires() {
        let mut spending = Spending::default();
        let budget = requests(2);
        for _ in 0..2 {
            spending.admit(&budget, costs(0), NOW + 400).unwrap();
        }
        let exceeded = spending.admit(&budget, costs(0), NOW + 1400).unwrap_err();
        assert_eq!(
            exceeded,
            BudgetExceeded {
                limit: "requests",
                retry_after: 60
            }
        );
        assert!(spending.admit(&budget, costs(0), NOW + 60_999).is_err());
        spending.admit(&budget, costs(0), NOW + 61_400).unwrap();
    }

    #[test]
    fn requests_in_flight_count_with_their_maximum_cost() {
        let mut spending = Spending::default();
        let budget = usd(100);
        let first = spending.admit(&budget, costs(60), NOW).unwrap();
        let exceeded = spending.admit(&budget, costs(60), NOW).unwrap_err();
        assert_eq!((exceeded.limit, exceeded.retry_after), ("usd", 3660));
        spending.settle(first, 10, NOW + 5000);
        spending.admit(&budget, costs(60), NOW + 5000).unwrap();
        // A request with a larger estimate than the budget needs the whole budget.
        assert!(spending.admit(&budget, costs(1000), NOW).is_err());
        spending
            .admit(&budget, costs(1000), NOW + 2 * 3_600_000)
            .unwrap();
    }

    #[test]
    fn cancelled_requests_do_not_count() {
        let mut spending = Spending::default();
        let budget = Budget {
            requests: Some(1),
            nanousd: Some(100),
        };
        let admitted = spending.admit(&budget, costs(60), NOW).unwrap();
        spending.give_back(admitted, NOW + 100);
        spending.admit(&budget, costs(60), NOW + 100).unwrap();
        assert!(spending.admit(&budget, costs(0), NOW + 100).is_err());
    }

    #[test]
    fn costs_and_estimates() {
        let price = Price {
            input: 3000,
            cache_read: 300,
            cache_write: 3750,
            output: 15_000,
        };
        let usage = Usage {
            input_tokens: Some(10),
            cache_creation_input_tokens: Some(100),
            cache_read_input_tokens: Some(1000),
            output_tokens: Some(2),
            inference_geo: None,
        };
        assert_eq!(cost(&price, &usage), 30_000 + 375_000 + 300_000 + 30_000);
        assert_eq!(cost(&price, &Usage::default()), 0);
        let tokens = Tokens {
            prompt: 100,
            answer: 100,
        };
        let guess = estimate(&price, tokens, None);
        assert_eq!((guess.prompt, guess.answer), (375_000, 1_500_000));
        assert_eq!(estimate(&price, tokens, Some(10)).prompt, 37_500);
        let endless = Tokens {
            prompt: u64::MAX,
            answer: u64::MAX,
        };
        let most = estimate(&price, endless, None);
        assert_eq!((most.prompt, most.all()), (3_750_000_000, u64::MAX));
        assert_eq!(guess.without_usage(true), 375_000);
        assert_eq!(guess.without_usage(false), 1_875_000);
        assert_eq!(cost_so_far(&price, &usage, guess), cost(&price, &usage));
        let seen = Usage {
            output_tokens: Some(2),
            ..Usage::default()
        };
        assert_eq!(cost_so_far(&price, &seen, guess), 375_000 + 30_000);
    }

    #[test]
    fn spending_round_trips_through_bytes() {
        let mut spending = Spending::default();
        spending.admit(&usd(100), costs(60), NOW).unwrap();
        assert_eq!(Spending::from_bytes(&spending.to_bytes()), spending);
        assert_eq!(Spending::from_bytes(&[1; 9]), Spending::default());
    }

    #[test]
    fn a_clock_that_is_set_back_empties_the_window() {
        let mut spending = Spending::default();
        spending.admit(&requests(1), costs(0), NOW).unwrap();
        spending.admit(&requests(1), costs(0), NOW / 2).unwrap();
    }

    proptest! {
        /// No window exceeds the limit. A request that waits for the announced time is admitted, if no other came before.
        #[test]
        fn the_limit_holds(steps in prop::collection::vec((0..30_000u64, 0..40u64, 0..40u64), 1..60), limit in 1..100u64) {
            let budget = Budget { requests: Some(limit), nanousd: Some(limit * 7) };
            let mut spending = Spending::default();
            let mut now = NOW;
            let mut costs_by_time: Vec<(u64, u64)> = Vec::new();
            for (later, guess, cost) in steps {
                now += later;
                let cost = cost.min(guess).min(limit * 7);
                match spending.admit(&budget, costs(guess), now) {
                    Ok(admitted) => {
                        spending.settle(admitted, cost, now);
                        costs_by_time.push((now, cost));
                    }
                    Err(exceeded) => {
                        let mut later = spending.clone();
                        let announced = now + exceeded.retry_after * 1000;
                        prop_assert!(later.admit(&budget, costs(guess), announced).is_ok());
                    }
                }
                let within = |window: u64| costs_by_time.iter().filter(move |(at, _)| now - at <= window);
                prop_assert!(within(60_000).count() as u64 <= limit);
                prop_assert!(within(3_600_000).map(|(_, cost)| cost).sum::<u64>() <= limit * 7);
            }
        }
    }
}
