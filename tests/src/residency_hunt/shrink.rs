//! Looks for fewer steps that still leak.

use super::ground::Ground;
use super::leak::Leak;
use super::step::{Run, Step};
use super::traffic::Traffic;
use anyhow::Result;
use tokio::time::Instant;

/// Timing is random: so often a run may end without a leak before it counts as clean.
const TRIES: usize = 3;

/// Steps that began longer before a leaking request than this are first to go, in milliseconds.
const BEFORE: u64 = 8_000;

/// The longest pause that is left between two steps, in milliseconds.
const PAUSE: u64 = 3_000;

/// Candidates for a shorter run.
pub struct Shrinker<'g, 'w> {
    /// Where they are played.
    pub ground: &'g mut Ground<'w>,
    /// Whose requests may leak.
    pub traffic: &'g Traffic,
    /// By when the search ends.
    pub deadline: Instant,
}

impl Shrinker<'_, '_> {
    /// The shortest run found that leaks, with a leak of it; none if no candidate leaked again.
    ///
    /// `began`: when the run began, on the clock of the leak.
    pub async fn shrink(
        &mut self,
        run: &Run,
        leak: &Leak,
        began: u64,
        tell: impl Fn(&str),
    ) -> Result<Option<(Run, Leak)>> {
        // Another leak that the fleet file explains is no shorter way to one that it does not.
        let is_sure = leak.is_sure;
        let mut best = None;
        let near = around(run, leak, began);
        for candidate in [near, run.clone()] {
            best = self
                .leaks(&candidate, is_sure)
                .await?
                .map(|leak| (candidate, leak));
            if best.is_some() {
                break;
            }
        }
        let Some((mut run, mut leak)) = best else {
            return Ok(None);
        };
        tell(&format!("leaks again with {} steps", run.steps.len()));
        let mut size = run.steps.len().div_ceil(2);
        let mut from = 0;
        while size > 0 && !self.is_over() {
            if from >= run.steps.len() {
                (size, from) = (size / 2, 0);
                continue;
            }
            let candidate = without(&run, from, size);
            match self.leaks(&candidate, is_sure).await? {
                Some(another) => {
                    tell(&format!("leaks with {} steps", candidate.steps.len()));
                    (run, leak) = (candidate, another);
                }
                None => from += size,
            }
        }
        Ok(Some((run, leak)))
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    async fn leaks(&mut self, run: &Run, is_sure: bool) -> Result<Option<Leak>> {
        for _ in 0..TRIES {
            if self.is_over() {
                break;
            }
            let (began, ended) = self.ground.play(run).await?;
            self.traffic.until_judged(ended).await;
            let leaks = self.traffic.take_leaks();
            let mut own = leaks.into_iter().filter(|leak| leak.sent_at >= began);
            let own = own.find(|leak| leak.is_sure || !is_sure);
            if own.is_some() {
                return Ok(own);
            }
        }
        Ok(None)
    }
}

/// The steps around a leak: those just before the request was sent, up to the last byte that was seen of it.
fn around(run: &Run, leak: &Leak, began: u64) -> Run {
    let first = leak.sent_at.saturating_sub(began + BEFORE);
    let last = leak.last_seen_at.saturating_sub(began);
    let earlier = run.steps.iter().take_while(|step| step.at < first);
    let base = earlier.filter_map(Step::definition).last();
    let steps = run.steps.iter();
    let steps = steps.filter(|step| (first..=last).contains(&step.at));
    compressed(Run {
        base: base.unwrap_or(&run.base).clone(),
        steps: steps.cloned().collect(),
    })
}

/// Without some steps. Where the first ones go, their last definition is what the run begins with.
fn without(run: &Run, from: usize, count: usize) -> Run {
    let end = (from + count).min(run.steps.len());
    let mut steps = run.steps.clone();
    let gone: Vec<Step> = steps.drain(from..end).collect();
    let base = gone.iter().filter_map(Step::definition).next_back();
    let base = base.filter(|_| from == 0).unwrap_or(&run.base);
    compressed(Run {
        base: base.clone(),
        steps,
    })
}

/// The same steps without long pauses.
fn compressed(mut run: Run) -> Run {
    let (mut before, mut at) = (0, 0);
    for step in &mut run.steps {
        at += (step.at - before).min(PAUSE);
        (before, step.at) = (step.at, at);
    }
    run
}

#[cfg(test)]
mod tests {
    use super::super::definition::Definition;
    use super::super::step::What;
    use super::*;

    fn run() -> Run {
        let mut other = Definition::first();
        other.limits = 1;
        let at = |at, what| Step { at, what };
        Run {
            base: Definition::first(),
            steps: vec![
                at(500, What::Edit(other)),
                at(9_000, What::Restart("eu-west-1")),
                at(9_500, What::Restart("us-west-2")),
            ],
        }
    }

    #[test]
    fn a_definition_that_is_removed_at_the_start_is_what_a_run_begins_with() {
        let shorter = without(&run(), 0, 1);
        assert_eq!(shorter.base.limits, 1);
        let at: Vec<u64> = shorter.steps.iter().map(|step| step.at).collect();
        assert_eq!(at, [PAUSE, PAUSE + 500]);
    }

    #[test]
    fn steps_after_the_last_byte_of_a_leak_are_left_out() {
        let leak = Leak::at(20_000, 29_200);
        let near = around(&run(), &leak, 20_000);
        assert_eq!(near.steps.len(), 2);
        let late = around(&run(), &Leak::at(29_300, 29_600), 20_000);
        assert_eq!((late.base.limits, late.steps.len()), (1, 2));
    }
}
