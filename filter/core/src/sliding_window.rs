//! Sums over a sliding window of time.

/// Buckets of a window: 60 complete ones and the current one.
const BUCKETS: usize = 61;

/// Sums over a sliding window of 60 buckets and the current one. A bucket is `BUCKET_MS` long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlidingWindow<const BUCKET_MS: u64> {
    /// The number of the newest bucket, by the clock that the caller tells the time of.
    newest: u64,
    buckets: [u64; BUCKETS],
}

impl<const BUCKET_MS: u64> Default for SlidingWindow<BUCKET_MS> {
    fn default() -> Self {
        Self {
            newest: 0,
            buckets: [0; BUCKETS],
        }
    }
}

impl<const BUCKET_MS: u64> SlidingWindow<BUCKET_MS> {
    /// Milliseconds until the window has room for `more` below a limit. 0: it has room now.
    pub fn wait(&mut self, more: u64, limit: Option<u64>, now_ms: u64) -> u64 {
        self.advance(now_ms);
        let Some(limit) = limit else { return 0 };
        let sum = |sum: u64, part: &u64| sum.saturating_add(*part);
        let mut all = self.buckets.iter().fold(more, sum);
        let oldest = (self.newest + 1).saturating_sub(BUCKETS as u64);
        for number in oldest..=self.newest {
            if all <= limit {
                let left = number
                    .saturating_add(BUCKETS as u64 - 1)
                    .saturating_mul(BUCKET_MS);
                return if number == oldest {
                    0
                } else {
                    left.saturating_sub(now_ms)
                };
            }
            all = all.saturating_sub(self.buckets[bucket_index(number)]);
        }
        BUCKETS as u64 * BUCKET_MS
    }

    /// Adds to the bucket of the present time.
    pub fn add(&mut self, now_ms: u64, more: u64) {
        self.change(now_ms, now_ms, |part| part.saturating_add(more));
    }

    /// Changes the bucket of a time. Does nothing if the time has left the window.
    pub fn change(&mut self, then_ms: u64, now_ms: u64, with: impl FnOnce(u64) -> u64) {
        self.advance(now_ms);
        let number = then_ms / BUCKET_MS;
        if number <= self.newest && self.newest - number < BUCKETS as u64 {
            let part = &mut self.buckets[bucket_index(number)];
            *part = with(*part);
        }
    }

    /// Drops the buckets that have left the window. After a large step of the clock, forwards or back, it drops all.
    fn advance(&mut self, now_ms: u64) {
        let now = now_ms / BUCKET_MS;
        if now.abs_diff(self.newest) >= BUCKETS as u64 {
            *self = Self {
                newest: now,
                ..Self::default()
            };
        }
        while self.newest < now {
            self.newest += 1;
            self.buckets[bucket_index(self.newest)] = 0;
        }
    }

    /// The state as numbers, for [`SlidingWindow::read`].
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.newest).chain(self.buckets)
    }

    /// Restores the state from [`SlidingWindow::numbers`]. `None` if there are too few.
    pub fn read(numbers: &mut impl Iterator<Item = u64>) -> Option<Self> {
        let newest = numbers.next()?;
        let mut buckets = [0; BUCKETS];
        for part in &mut buckets {
            *part = numbers.next()?;
        }
        Some(Self { newest, buckets })
    }
}

fn bucket_index(number: u64) -> usize {
    usize::try_from(number % BUCKETS as u64).unwrap_or_default()
}
