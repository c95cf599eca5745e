//! Of which requests the control plane is told: of all that are refused, fail over or are answered by a fallback, and of a few others, as
//! long as there are not too many.

use meridian_policy::headers::{SAMPLED, UNTOLD};

/// Ordinary requests that are told of in a row. Of further ones it is one a second.
const MOST_SAMPLED: u32 = 10;
/// Notable requests that are told of in a row. Of further ones it is one a tick.
const MOST_NOTABLE: u32 = 100;
/// Ticks in a second.
const TICKS: u32 = 10;

/// How many requests of a worker may still be told of.
#[derive(Debug)]
pub struct Reports {
    sampled: u32,
    notable: u32,
    ticks: u32,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            sampled: MOST_SAMPLED,
            notable: MOST_NOTABLE,
            ticks: 0,
        }
    }
}

impl Reports {
    /// To be called ten times a second.
    pub fn tick(&mut self) {
        self.notable = (self.notable + 1).min(MOST_NOTABLE);
        self.ticks = (self.ticks + 1) % TICKS;
        if self.ticks == 0 {
            self.sampled = (self.sampled + 1).min(MOST_SAMPLED);
        }
    }

    /// The value of the header [`REPORT`](meridian_policy::headers::REPORT) for a request that begins.
    pub fn mark(&mut self) -> Option<&'static str> {
        if self.sampled > 0 {
            self.sampled -= 1;
            return Some(SAMPLED);
        }
        (self.notable == 0).then_some(UNTOLD)
    }

    /// A request without a mark was told of.
    pub fn note_notable(&mut self) {
        self.notable = self.notable.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(reports: &mut Reports, requests: u32, value: Option<&str>) -> usize {
        let marks = (0..requests).map(|_| reports.mark());
        marks.filter(|mark| *mark == value).count()
    }

    #[test]
    fn one_ordinary_request_a_second_is_told_of() {
        let mut reports = Reports::default();
        assert_eq!(count(&mut reports, 1000, Some(SAMPLED)), 10);
        let mut told = 0;
        for _ in 0..600 {
            reports.tick();
            told += count(&mut reports, 50, Some(SAMPLED));
        }
        assert_eq!(told, 60);
    }

    #[test]
    fn of_a_flood_of_refusals_ten_a_second_are_told_of() {
        let mut reports = Reports::default();
        count(&mut reports, 10, Some(SAMPLED));
        let mut told = 0;
        for tick in 0..600 {
            if tick > 0 {
                reports.tick();
            }
            for _ in 0..50 {
                if reports.mark() != Some(UNTOLD) {
                    reports.note_notable();
                    told += 1;
                }
            }
        }
        // And the sampled ones, which count as notable here.
        assert_eq!(told, 100 + 599);
    }
}
