//! One engine of a pool's inference servers.

use super::horizon::RECENT;
use super::sanitize;
use crate::signal::{Answers, Figures, Histogram, Millis};
use crate::window::Window;
use std::time::Duration;

/// Minimum number of queue times for a mean.
const MIN_QUEUE_TIMES: f64 = 5.0;

/// An engine's latest figures, and windows of its counters.
#[derive(Clone, Debug)]
pub struct Engine {
    pub at: Millis,
    pub figures: Figures,
    pub first_token: Option<Window<Histogram>>,
    pub answers: Option<Window<[f64; 2]>>,
    queue_time: Option<Window<Histogram>>,
    /// The load figures that it has reported since its process started.
    reported: LoadFigures,
}

/// The load figures that an engine reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LoadFigures {
    running: bool,
    kv_cache: bool,
    utilization: bool,
    queue_time: bool,
}

impl LoadFigures {
    fn of(figures: &Figures) -> Self {
        Self {
            running: figures.running.is_some(),
            kv_cache: figures.kv_cache.is_some(),
            utilization: figures.utilization.is_some(),
            queue_time: figures.queue_time.is_some(),
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            running: self.running || other.running,
            kv_cache: self.kv_cache || other.kv_cache,
            utilization: self.utilization || other.utilization,
            queue_time: self.queue_time || other.queue_time,
        }
    }
}

impl Engine {
    pub fn new(at: Millis, figures: &Figures) -> Self {
        let figures = sanitize::figures(figures);
        let window = |histogram: &Option<Histogram>| {
            let histogram = histogram.clone();
            histogram.map(|histogram| Window::new(at, histogram))
        };
        Self {
            at,
            reported: LoadFigures::of(&figures),
            queue_time: window(&figures.queue_time),
            first_token: window(&figures.first_token),
            answers: figures
                .answers
                .map(|answers| Window::new(at, counted(answers))),
            figures,
        }
    }

    pub fn update(&mut self, at: Millis, figures: &Figures) {
        if at < self.at {
            return;
        }
        let figures = sanitize::figures(figures);
        push(&mut self.queue_time, at, figures.queue_time.as_ref());
        push(&mut self.first_token, at, figures.first_token.as_ref());
        match (&mut self.answers, figures.answers) {
            (Some(window), Some(answers)) => window.push(at, counted(answers)),
            (window, answers) => {
                *window = answers.map(|answers| Window::new(at, counted(answers)));
            }
        }
        let reports = LoadFigures::of(&figures);
        self.reported = match has_restarted(&self.figures, &figures) {
            true => reports,
            false => self.reported.or(reports),
        };
        self.at = at;
        self.figures = figures;
    }

    /// Whether it no longer reports a load figure that it reported before. Its utilization is then unknown.
    pub fn stopped_reporting(&self) -> bool {
        self.reported != LoadFigures::of(&self.figures)
    }

    /// Utilization: the highest ratio among its resources. A mean queue time of `queue_wait` counts as 1.
    pub fn utilization(&self, queue_wait: Duration) -> Option<f64> {
        if self.stopped_reporting() {
            return None;
        }
        let Figures {
            running,
            max_running,
            kv_cache,
            utilization,
            ..
        } = &self.figures;
        let running = running
            .zip(max_running.filter(|most| *most > 0.0))
            .map(|(running, most)| running / most);
        let queue_time = self.queue_time.as_ref();
        let waited = queue_time
            .map(|window| window.recent(RECENT, |waited| waited.count >= MIN_QUEUE_TIMES));
        let wait = waited
            .filter(|waited| waited.count >= MIN_QUEUE_TIMES)
            .map(|waited| waited.sum / waited.count / queue_wait.as_secs_f64());
        let all = [*kv_cache, *utilization, running, wait]
            .into_iter()
            .flatten();
        // The cap of 10 limits the effect of a faulty source.
        all.filter(|value| value.is_finite())
            .reduce(f64::max)
            .map(|value| value.min(10.0))
    }
}

/// Whether the process restarted: a count fell, or all counts disappeared. A new version may report other figures.
fn has_restarted(before: &Figures, now: &Figures) -> bool {
    let counts = |figures: &Figures| {
        let count = |histogram: &Option<Histogram>| histogram.as_ref().map(|values| values.count);
        [
            count(&figures.queue_time),
            count(&figures.first_token),
            figures.answers.map(|answers| answers.all),
        ]
    };
    let (before, now) = (counts(before), counts(now));
    let mut pairs = before.iter().zip(&now);
    pairs.any(|(before, now)| before.zip(*now).is_some_and(|(before, now)| now < before))
        || (before.iter().any(Option::is_some) && now.iter().all(Option::is_none))
}

fn counted(answers: Answers) -> [f64; 2] {
    [answers.all, answers.failed]
}

fn push(window: &mut Option<Window<Histogram>>, at: Millis, counted: Option<&Histogram>) {
    match (window.as_mut(), counted) {
        (Some(window), Some(counted)) => window.push(at, counted.clone()),
        (_, counted) => {
            *window = counted.map(|counted| Window::new(at, counted.clone()));
        }
    }
}
