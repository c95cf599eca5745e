//! Commands of operators: checked, written to the store, then in force.

use super::ControllerTask;
use crate::clock::steady_clock;
use crate::serve::operator::{NewIntent, Refusal, Wanted};
use crate::serve::store::{Change, Entry, Pending, Record};
use meridian_planner::intent::{Intent, Objection};
use meridian_planner::signal::Millis;

impl ControllerTask {
    /// Does what an operator wants: it is in the store before it counts.
    /// `request`: the request of a replica's operator that it answers.
    pub(super) async fn obey(
        &mut self,
        wanted: Wanted,
        request: Option<&Pending>,
    ) -> Result<Record, Refusal> {
        let now = steady_clock();
        let entry = match wanted {
            Wanted::Create(new) => self.entry_of(new, now)?,
            Wanted::Undo {
                number,
                by,
                from,
                why,
            } => {
                if !self.controller.intents().0.contains_key(&number) {
                    return Err(Refusal::NoSuchIntent(number));
                }
                Entry {
                    change: Change::Undone,
                    by,
                    from,
                    why,
                    at: now,
                    before: Some(number),
                    after: None,
                }
            }
        };
        self.change(entry, request).await
    }

    /// The entry of something that an operator says, unless something speaks against it. It takes the place of an intent of the same kind
    /// for the same place.
    fn entry_of(&self, new: NewIntent, now: Millis) -> Result<Entry, Refusal> {
        let intents = self.controller.intents().active(now);
        let mut replaced = intents.filter(|(_, intent)| intent.action.replaces(&new.action));
        let before = replaced.next().map(|(number, _)| number);
        let objections = self.controller.objections(&new.action, before, now);
        let may_pass = new.force && objections.iter().all(Objection::may_be_forced);
        if !objections.is_empty() && !may_pass {
            return Err(Refusal::Objections(objections));
        }
        Ok(Entry {
            change: Change::Created,
            by: new.by.clone(),
            from: new.from,
            why: new.why.clone(),
            at: now,
            before,
            after: Some(Intent {
                action: new.action,
                by: new.by,
                why: new.why,
                created: now,
                expires: Millis(now.0.saturating_add(new.lasts_ms)),
                forced: objections.iter().map(Objection::to_string).collect(),
            }),
        })
    }

    /// Records intents whose time is over. They count no longer in any case.
    pub(super) async fn end_expired(&mut self) {
        let now = steady_clock();
        let intents = self.controller.intents().0.iter();
        let mut expired = intents.filter(|(_, intent)| intent.expires <= now);
        let Some(number) = expired.next().map(|(number, _)| *number) else {
            return;
        };
        let entry = Entry {
            change: Change::Expired,
            by: "meridian".to_owned(),
            from: "meridian".to_owned(),
            why: "its time is over".to_owned(),
            at: now,
            before: Some(number),
            after: None,
        };
        // It is tried again at the next tick.
        let _ = self.change(entry, None).await;
    }

    async fn change(&mut self, entry: Entry, request: Option<&Pending>) -> Result<Record, Refusal> {
        let record = match self.store.change(entry, request).await {
            Ok(record) => record,
            Err(error) => {
                self.note_unchanged(&error);
                return Err(Refusal::Store(error.to_string()));
            }
        };
        let mut intents = self.controller.intents().clone();
        if let Some((number, intent)) = &record.before {
            intents.0.remove(number);
            tracing::info!(number, by = record.by, why = record.why, intent = %intent.action, "an intent has ended");
        }
        if let Some(intent) = &record.after {
            let (number, by, why) = (record.number, &record.by, &record.why);
            tracing::info!(number, by, why, intent = %intent.action, "an intent is in force");
            intents.0.insert(record.number, intent.clone());
        }
        self.controller.set_intents(intents);
        Ok(record)
    }
}
