//! Circuit breakers of pools: a pool that has answered nothing but refusals, or nothing at all, is left alone but for one request
//! now and then.
//!
//! Shedding ([`crate::shed_level`]) follows how much of a pool's requests it refuses. A breaker is for the pool that serves none.
//! It also knows the pools of other regions, so it tells when no region is worth a request.

/// Faults in a row after which a pool's breaker opens, as many as eject a server in Envoy.
pub const MAX_FAULTS: u32 = 5;
/// Time between two probes of a pool that refuses, in milliseconds. A refusal costs its caller little.
const REFUSED_PAUSE_MS: u64 = 1000;
/// Time until the first probe of a pool that is silent, in milliseconds. It doubles with each probe: a probe costs its caller a
/// limit of silence.
const SILENT_PAUSE_MS: u64 = 4000;
/// Maximum time between two probes, in milliseconds.
const MAX_PAUSE_MS: u64 = 32_000;
/// Maximum `Retry-After` that counts, in seconds: a day.
pub const MAX_RETRY_AFTER: u64 = 86_400;

/// How a pool did not serve a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It refused the request for lack of room. Its `Retry-After` in seconds, if it had one.
    Refused(Option<u64>),
    /// It gave no answer, to this request or to any other since this one began.
    Silent,
}

/// That a pool is not worth a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Seconds until it may be, at least one.
    pub retry_after: u64,
    /// It is silent, rather than refusing requests.
    pub is_silent: bool,
}

/// The open breaker of a pool. Times are in milliseconds, by the clock that the gateway's workers share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenBreaker {
    /// When the next request may ask the pool.
    probe_at: u64,
    /// The pause after that one.
    pause_ms: u64,
    /// The pool is silent.
    is_silent: bool,
    /// When the pool wants to be asked again, by its own words.
    retry_at: u64,
}

impl OpenBreaker {
    /// The breaker that this fault opens.
    pub fn new(fault: Fault, now_ms: u64) -> Self {
        let closed = Self {
            probe_at: now_ms,
            pause_ms: 0,
            is_silent: false,
            retry_at: now_ms,
        };
        closed.after(fault, now_ms)
    }

    /// The breaker after one more fault, whichever request met it: the next probe is a pause away.
    #[must_use]
    pub fn after(self, fault: Fault, now_ms: u64) -> Self {
        let (pause_ms, retry_at) = match fault {
            Fault::Silent => (self.pause_ms.max(SILENT_PAUSE_MS), self.retry_at),
            Fault::Refused(None) => (REFUSED_PAUSE_MS, self.retry_at),
            Fault::Refused(Some(seconds)) => {
                let wait_ms = seconds.min(MAX_RETRY_AFTER) * 1000;
                (REFUSED_PAUSE_MS, now_ms.saturating_add(wait_ms))
            }
        };
        Self {
            probe_at: now_ms.saturating_add(pause_ms),
            pause_ms,
            is_silent: fault == Fault::Silent,
            retry_at,
        }
    }

    /// Whether a request may probe the pool now.
    pub fn is_due(&self, now_ms: u64) -> bool {
        // Written by another clock, it would be open almost for ever.
        now_ms >= self.probe_at || self.probe_at > now_ms.saturating_add(MAX_PAUSE_MS)
    }

    /// The breaker while a probe is under way that begins now.
    #[must_use]
    pub fn probed(self, now_ms: u64) -> Self {
        let factor = if self.is_silent { 2 } else { 1 };
        Self {
            probe_at: now_ms.saturating_add(self.pause_ms),
            pause_ms: (self.pause_ms * factor).min(MAX_PAUSE_MS),
            ..self
        }
    }

    /// What a caller may be told.
    pub fn unavailable(&self, now_ms: u64) -> Unavailable {
        let at = self.retry_at.max(self.probe_at);
        let seconds = at.saturating_sub(now_ms).div_ceil(1000);
        Unavailable {
            retry_after: seconds.clamp(1, MAX_RETRY_AFTER),
            is_silent: self.is_silent,
        }
    }

    /// As a line of text, for [`OpenBreaker::parse`].
    pub fn to_line(&self, pool: &str) -> String {
        let Self {
            probe_at,
            pause_ms,
            is_silent,
            retry_at,
        } = self;
        format!("{probe_at} {pause_ms} {is_silent} {retry_at} {pool}\n")
    }

    /// The breaker and the name of its pool in a line of text. `None`: it is none.
    pub fn parse(line: &str) -> Option<(&str, Self)> {
        let mut words = line.splitn(5, ' ');
        let breaker = Self {
            probe_at: words.next()?.parse().ok()?,
            pause_ms: words.next()?.parse::<u64>().ok()?.min(MAX_PAUSE_MS),
            is_silent: words.next()?.parse().ok()?,
            retry_at: words.next()?.parse().ok()?,
        };
        Some((words.next()?, breaker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The times of the probes within two minutes, of a pool that goes on like this.
    fn probes(fault: Fault) -> Vec<u64> {
        let mut breaker = OpenBreaker::new(fault, 0);
        let mut times = Vec::new();
        for now in 0..120_000 {
            if breaker.is_due(now) {
                times.push(now);
                breaker = breaker.probed(now);
                if fault != Fault::Silent {
                    breaker = breaker.after(fault, now);
                }
            }
        }
        times
    }

    #[test]
    fn a_silent_pool_is_probed_at_growing_pauses() {
        assert_eq!(
            probes(Fault::Silent),
            [4000, 8000, 16_000, 32_000, 64_000, 96_000]
        );
    }

    #[test]
    fn a_refusing_pool_is_probed_every_second_whatever_it_says() {
        for retry_after in [None, Some(30), Some(u64::MAX)] {
            let times = probes(Fault::Refused(retry_after));
            assert_eq!(times.len(), 119, "{retry_after:?}");
        }
    }

    #[test]
    fn a_pool_that_begins_to_refuse_is_no_longer_silent() {
        let silent = OpenBreaker::new(Fault::Silent, 0).probed(4000).probed(8000);
        assert!(silent.is_silent && !silent.is_due(15_000));
        let refusing = silent.after(Fault::Refused(None), 9000);
        assert!(!refusing.is_silent && refusing.is_due(10_000));
    }

    #[test]
    fn callers_are_told_when_the_pool_wants_them() {
        let says = |seconds| {
            OpenBreaker::new(Fault::Refused(seconds), 0)
                .unavailable(0)
                .retry_after
        };
        assert_eq!(says(None), 1);
        assert_eq!(says(Some(0)), 1);
        assert_eq!(says(Some(17)), 17);
        assert_eq!(says(Some(u64::MAX)), MAX_RETRY_AFTER);
        let open = OpenBreaker::new(Fault::Refused(Some(17)), 0);
        assert_eq!(open.unavailable(10_000).retry_after, 7);
        assert_eq!(
            open.after(Fault::Refused(None), 10_000)
                .unavailable(10_000)
                .retry_after,
            7
        );
        assert_eq!(open.unavailable(1_000_000).retry_after, 1);
    }

    proptest! {
        #[test]
        fn a_breaker_round_trips_and_always_becomes_due(
            faults in prop::collection::vec((any::<Option<u64>>(), any::<bool>(), 0..100_000u64), 1..20), noise in ".{0,40}",
        ) {
            let mut breaker = OpenBreaker::new(Fault::Silent, 0);
            for (seconds, silent, now) in faults {
                breaker = breaker.after(if silent { Fault::Silent } else { Fault::Refused(seconds) }, now);
                if breaker.is_due(now) {
                    breaker = breaker.probed(now);
                }
                let line = breaker.to_line("eu-west-1 a/model");
                prop_assert_eq!(OpenBreaker::parse(line.trim_end()), Some(("eu-west-1 a/model", breaker)));
                prop_assert!(breaker.is_due(now + 100_000 + MAX_PAUSE_MS));
            }
            let _ = OpenBreaker::parse(&noise);
        }
    }
}
