//! A clock that goes on evenly where the system's does not.

/// What passes at once and is more than this, in milliseconds, has not passed: the system's clock was set, or the machine slept.
const LEAP_MS: u64 = 5_000;

/// Time since some moment, by a system's clock that is read every second at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steady {
    system: u64,
    passed: u64,
}

impl Steady {
    /// Milliseconds since then. `system_ms`: what the system's clock says now.
    pub fn at(&mut self, system_ms: u64) -> u64 {
        let passed = system_ms.saturating_sub(self.system);
        if passed <= LEAP_MS {
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
    fn a_clock_that_leaps_moves_nothing() {
        const HOUR: u64 = 3_600_000;
        let mut clock = Steady::default();
        let begin = clock.at(1_700_000_000_000);
        assert_eq!(clock.at(1_700_000_000_700) - begin, 700);
        // Set forwards, and back.
        let forwards = clock.at(1_700_000_000_800 + HOUR);
        assert_eq!(forwards - begin, 700);
        assert_eq!(clock.at(1_700_000_000_900 + HOUR) - begin, 800);
        assert_eq!(clock.at(1_700_000_001_000) - begin, 800);
        assert_eq!(clock.at(1_700_000_002_000) - begin, 1800);
    }
}
