//! A worker's clock: the machine's monotonic clock without the time in which the process stood still.

/// Longest step, in milliseconds, that counts. A worker reads its clock ten times a second, so a longer step means that the process
/// was stopped: what it waited for may have come meanwhile, and nobody has looked.
pub const MAX_STEP_MS: u64 = 5_000;

/// A clock of the time in which the process ran. It must be read every second at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SteadyClock {
    monotonic: u64,
    passed: u64,
}

impl SteadyClock {
    /// Milliseconds since an arbitrary time. `monotonic_ms`: the time by the machine's monotonic clock.
    pub fn at(&mut self, monotonic_ms: u64) -> u64 {
        let passed = monotonic_ms.saturating_sub(self.monotonic);
        if passed <= MAX_STEP_MS {
            self.passed += passed;
        }
        self.monotonic = monotonic_ms;
        self.passed
    }

    /// Counts the time since the last reading, however long ago that was: the host knows that the process has run.
    pub fn has_run_until(&mut self, monotonic_ms: u64) {
        self.passed += monotonic_ms.saturating_sub(self.monotonic);
        self.monotonic = monotonic_ms;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_the_process_stood_still_does_not_count() {
        let mut clock = SteadyClock::default();
        let begin = clock.at(3_600_000);
        assert_eq!(clock.at(3_600_700) - begin, 700);
        assert_eq!(clock.at(7_200_000) - begin, 700);
        assert_eq!(clock.at(7_200_100) - begin, 800);
    }

    #[test]
    fn time_in_which_the_process_ran_counts_where_the_host_knows_it() {
        let mut clock = SteadyClock::default();
        let begin = clock.at(3_600_000);
        clock.has_run_until(7_200_000);
        assert_eq!(clock.at(7_200_100) - begin, 3_600_100);
    }
}
