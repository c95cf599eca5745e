//! A steady clock on top of the system's clock.

/// Maximum step of the system's clock, in milliseconds. A larger step means that the clock was set, or that the machine slept.
/// The steady clock ignores it.
const MAX_STEP_MS: u64 = 5_000;

/// A steady clock. It must be read every second at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SteadyClock {
    system: u64,
    passed: u64,
}

impl SteadyClock {
    /// Milliseconds since an arbitrary time. `system_ms`: the time by the system's clock.
    pub fn at(&mut self, system_ms: u64) -> u64 {
        let passed = system_ms.saturating_sub(self.system);
        if passed <= MAX_STEP_MS {
            self.passed += passed;
        }
        self.system = system_ms;
        self.passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_the_system_clock_are_ignored() {
        const HOUR: u64 = 3_600_000;
        let mut clock = SteadyClock::default();
        let begin = clock.at(1_700_000_000_000);
        assert_eq!(clock.at(1_700_000_000_700) - begin, 700);
        // The system's clock is set forwards, and back.
        let forwards = clock.at(1_700_000_000_800 + HOUR);
        assert_eq!(forwards - begin, 700);
        assert_eq!(clock.at(1_700_000_000_900 + HOUR) - begin, 800);
        assert_eq!(clock.at(1_700_000_001_000) - begin, 800);
        assert_eq!(clock.at(1_700_000_002_000) - begin, 1800);
    }
}
