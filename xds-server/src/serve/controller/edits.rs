//! Edits of the fleet file: from one edition to the next, step by step.

use super::changes::log;
use super::{Controller, Effects};
use crate::serve::edition::{Earlier, Edition};
use crate::serve::handover::handover;
use crate::serve::publication::{Publisher, Unpublishable};
use crate::serve::report::ErrorReport;
use crate::serve::store::{PlanEntry, Why};
use meridian_planner::signal::Millis;
use std::time::Duration;

/// How long the first step of a handover waits for gateways that do not answer.
const STEP_TIMEOUT: Duration = Duration::from_secs(2);

/// The same for as long after a start, when gateways connect anew: Envoy's longest time between two attempts, unless its bootstrap has
/// another.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(30);

impl Controller {
    /// Takes an edit, or rejects it.
    pub(super) fn apply_edit(&mut self, edition: Edition, now: Millis) -> Effects {
        match self.hand_over(edition, now) {
            Ok(effects) => {
                self.counts.reloads += 1;
                self.file.error = None;
                self.unpublished = None;
                tracing::info!(file = self.file.file, "the edited fleet file is in force");
                effects
            }
            Err(error) => {
                self.reject_edit(error.to_string(), now);
                Effects::default()
            }
        }
    }

    /// Publishes another edition. The one before it is kept for the requests that are under way.
    pub(super) fn hand_over(
        &mut self,
        edition: Edition,
        now: Millis,
    ) -> Result<Effects, Unpublishable> {
        let fleet = edition.fleet.clone();
        let next = self.next_plan(&fleet, now);
        let earlier = self.earlier.with(&self.edition, &fleet);
        let history = earlier.before(&fleet);
        let (earlier, publisher) = match Publisher::new(history, &next, self.lease, &self.published)
        {
            Ok(publisher) => (earlier, publisher),
            Err(error) => {
                let alone = fleet.clone().into();
                let alone = Publisher::new(alone, &next, self.lease, &self.published)?;
                tracing::warn!(%error, "earlier definitions cannot be kept beside those of the edit; requests that were decided under them are refused");
                (Earlier::default(), alone)
            }
        };
        let steps = handover(&self.published, &self.fleet, &publisher);
        let moves = self.moves(&fleet, &next, true, now);
        log(&moves);
        let before = self.saved();
        self.take_edition(edition, now);
        self.earlier = earlier;
        self.publisher = publisher;
        self.before = Some(Box::new(before));
        Ok(Effects {
            fleet: Some(fleet),
            record: Some(PlanEntry::new(now, Why::Edit, moves)),
            ..self.publish(next, self.lease, steps, now)
        })
    }

    /// Takes another edition, without publishing it.
    pub(super) fn take_edition(&mut self, edition: Edition, now: Millis) {
        let fleet = edition.fleet.clone();
        self.sources.retain(|(region, source), report| {
            let region = fleet.regions.get(region);
            let is_gateway = report.url.is_empty();
            region.is_some_and(|region| {
                let mut places = (0..region.signals.len()).map(|index| format!("signals[{index}]"));
                is_gateway || places.any(|place| place == *source)
            })
        });
        self.state.edited(now);
        self.edition = edition;
        self.fleet = fleet;
        self.file.since = now;
    }

    pub(super) fn reject_edit(&mut self, message: String, now: Millis) {
        tracing::error!(
            file = self.file.file,
            error = message,
            "the edited fleet file is rejected; the previous fleet stays in force"
        );
        self.queued_edit = None;
        self.counts.bad_edits += 1;
        self.file.error = Some(ErrorReport { at: now, message });
    }

    /// How long a step waits for gateways that do not answer.
    pub(super) fn step_timeout(&self, now: Millis) -> Duration {
        // The lease must not run out: it is not renewed meanwhile.
        let longest = RECONNECT_TIMEOUT.min(Duration::from_millis(self.lease.runs_ms / 2));
        if now.since(self.started_at) < longest {
            longest
        } else {
            STEP_TIMEOUT
        }
    }
}
