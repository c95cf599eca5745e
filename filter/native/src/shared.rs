//! What all workers of an Envoy share: texts under keys, each with a version. A lock is held for no longer than a copy takes.

use hashbrown::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

static SHARED: Mutex<Option<HashMap<String, Entry>>> = Mutex::new(None);

#[derive(Default)]
struct Entry {
    value: Vec<u8>,
    /// It grows with each write.
    version: u32,
}

fn lock() -> MutexGuard<'static, Option<HashMap<String, Entry>>> {
    // A panic leaves no entry half-written.
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The value under a key, and its version.
pub fn get(key: &str) -> (Option<Vec<u8>>, Option<u32>) {
    let mut shared = lock();
    match shared.get_or_insert_default().get(key) {
        Some(entry) => (Some(entry.value.clone()), Some(entry.version)),
        None => (None, None),
    }
}

/// Replaces the value under a key. With a version: only if it is still of that version. `false` if it is not.
pub fn set(key: &str, value: &[u8], version: Option<u32>) -> bool {
    let mut shared = lock();
    let entry = shared.get_or_insert_default().entry_ref(key).or_default();
    if version.is_some_and(|version| version != entry.version) {
        return false;
    }
    value.clone_into(&mut entry.value);
    entry.version = entry.version.wrapping_add(1);
    true
}
