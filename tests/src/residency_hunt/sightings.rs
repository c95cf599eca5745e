//! What places have seen: in memory, and forgotten once a request was judged for the last time.

use super::judge::Place;
use super::marker::Part;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// Transits that are remembered at most. They are few: each is of a request that went to a peer.
const MOST_TRANSITS: usize = 50_000;

/// Milliseconds since the hunt began.
pub fn now() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let elapsed = BEGAN.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// That a place saw a part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The place.
    pub place: Place,
    /// The part.
    pub part: Part,
    /// When it first did, in milliseconds since the hunt began.
    pub at: u64,
}

/// All of them, by request.
#[derive(Default)]
pub struct Sightings {
    seen: Mutex<HashMap<u32, Vec<Sighting>>>,
    /// The peers that requests came to, by the id that their gateway gave them.
    transits: Mutex<HashMap<String, Vec<Sighting>>>,
}

impl Sightings {
    /// Notes that a place saw parts of requests.
    pub fn note(&self, place: Place, markers: &[(u32, Part)]) {
        let at = now();
        let mut seen = lock(&self.seen);
        for (id, part) in markers.iter().copied() {
            let all = seen.entry(id).or_default();
            if !all
                .iter()
                .any(|known| known.place == place && known.part == part)
            {
                all.push(Sighting { place, part, at });
            }
        }
    }

    /// Notes that a request came to a peer.
    pub fn note_transit(&self, request_id: &str, region: &'static str) {
        let mut transits = lock(&self.transits);
        if transits.len() > MOST_TRANSITS {
            transits.clear();
        }
        let sighting = Sighting {
            place: Place::Peer(region),
            part: Part::Header,
            at: now(),
        };
        transits
            .entry(request_id.into())
            .or_default()
            .push(sighting);
    }

    /// What has been seen of a request, the earliest first.
    pub fn of(&self, id: u32, request_id: Option<&str>) -> Vec<Sighting> {
        let mut all = lock(&self.seen).get(&id).cloned().unwrap_or_default();
        let transits = lock(&self.transits);
        all.extend(
            request_id
                .and_then(|id| transits.get(id))
                .into_iter()
                .flatten(),
        );
        all.sort_by_key(|sighting| sighting.at);
        all
    }

    /// Forgets a request.
    pub fn forget(&self, id: u32, request_id: Option<&str>) {
        lock(&self.seen).remove(&id);
        if let Some(request_id) = request_id {
            lock(&self.transits).remove(request_id);
        }
    }
}

/// A lock that a panic elsewhere does not break.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
