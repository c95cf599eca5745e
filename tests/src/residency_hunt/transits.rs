//! The requests that gateways received as peers, by their access logs.

use super::sightings::Sightings;
use crate::world::{REGIONS, World};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};
use tokio::task::JoinHandle;

/// Between two looks at a log. Envoy writes it ten times a second.
const LOOK: Duration = Duration::from_millis(200);

/// The readers of all access logs; they end when it is dropped.
pub struct Transits(Vec<JoinHandle<()>>);

impl Transits {
    /// Begins at the end of what the logs hold.
    pub fn start(world: &World, sightings: &Arc<Sightings>) -> Self {
        let readers = REGIONS.map(|region| {
            let log = world.access_log(region);
            tokio::spawn(follow(log, region, sightings.clone()))
        });
        Self(readers.into())
    }
}

impl Drop for Transits {
    fn drop(&mut self) {
        for reader in &self.0 {
            reader.abort();
        }
    }
}

async fn follow(log: PathBuf, region: &'static str, sightings: Arc<Sightings>) {
    let Ok(mut file) = tokio::fs::File::open(&log).await else {
        return;
    };
    let _ = file.seek(SeekFrom::End(0)).await;
    let mut pending = Vec::new();
    loop {
        let read = file.read_buf(&mut pending).await;
        if read.is_err() {
            return;
        }
        if let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') {
            for line in pending[..end].split(|byte| *byte == b'\n') {
                note(line, region, &sightings);
            }
            pending.drain(..=end);
        }
        if matches!(read, Ok(0)) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn note(line: &[u8], region: &'static str, sightings: &Sightings) {
    // Most lines are of the public listener.
    if !line.windows(6).any(|window| window == b"\"peer\"") {
        return;
    }
    let entry: Value = serde_json::from_slice(line).unwrap_or_default();
    if entry["listener"] == "peer"
        && let Some(id) = entry["request_id"].as_str()
    {
        sightings.note_transit(id, region);
    }
}
