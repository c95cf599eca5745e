//! What waits to be saved: the newest state, and every record since the last one that was saved.

use super::plans::{KEPT, PlanEntry};
use crate::serve::saved_state::SavedState;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

#[derive(Default)]
struct Unsaved {
    state: Option<SavedState>,
    entries: Vec<PlanEntry>,
}

/// The end for whoever has something to save.
pub struct Saver {
    unsaved: Arc<Mutex<Unsaved>>,
    news: watch::Sender<()>,
}

/// The end for whoever saves it.
pub struct ToSave {
    unsaved: Arc<Mutex<Unsaved>>,
    news: watch::Receiver<()>,
}

/// Both ends.
pub fn to_save() -> (Saver, ToSave) {
    let (news, received) = watch::channel(());
    let unsaved = Arc::default();
    let saver = Saver {
        unsaved: Arc::clone(&unsaved),
        news,
    };
    let to_save = ToSave {
        unsaved,
        news: received,
    };
    (saver, to_save)
}

fn locked(unsaved: &Mutex<Unsaved>) -> MutexGuard<'_, Unsaved> {
    // Each change is one assignment.
    unsaved.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Saver {
    /// Saves a state, in the place of one that still waits. An entry waits beside those before it.
    pub fn save(&self, state: SavedState, entry: Option<PlanEntry>) {
        let mut unsaved = locked(&self.unsaved);
        unsaved.state = Some(state);
        unsaved.entries.extend(entry);
        drop(unsaved);
        self.news.send_replace(());
    }
}

impl ToSave {
    /// The next state, with the entries that belong to it and those before it. `None` once the other end is gone and all is taken.
    pub async fn next(&mut self) -> Option<(SavedState, Vec<PlanEntry>)> {
        while self.news.changed().await.is_ok() {
            let mut unsaved = locked(&self.unsaved);
            if let Some(state) = unsaved.state.take() {
                return Some((state, mem::take(&mut unsaved.entries)));
            }
        }
        None
    }

    /// Puts entries back that could not be saved: the next state is saved with them.
    pub fn put_back(&self, mut entries: Vec<PlanEntry>) {
        let mut unsaved = locked(&self.unsaved);
        entries.append(&mut unsaved.entries);
        let kept = usize::try_from(KEPT).unwrap_or(usize::MAX);
        entries.drain(..entries.len().saturating_sub(kept));
        unsaved.entries = entries;
    }
}
