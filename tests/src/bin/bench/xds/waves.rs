//! Waves: what all gateways are sent at one time.

use meridian_xds_server::xds::ResourceType;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A response that a gateway has accepted.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The gateway.
    pub stream: usize,
    pub received: Instant,
    pub acked: Instant,
    pub kind: ResourceType,
    pub bytes: usize,
}

/// A wave has ended once nothing has come for this long.
pub const GAP: Duration = Duration::from_millis(700);

/// The responses that follow each other without a gap.
#[derive(Clone, Debug)]
pub struct Wave {
    /// When the first response came.
    pub begun: Instant,
    /// When each gateway had accepted the first response of each type. A later one is of a later plan.
    acked: BTreeMap<usize, BTreeMap<ResourceType, Instant>>,
    /// Bytes of all responses.
    pub bytes: usize,
    kinds: BTreeMap<&'static str, usize>,
}

impl Wave {
    /// The waves of some responses. The last one may go on.
    pub fn of(mut events: Vec<Event>) -> Vec<Self> {
        events.sort_by_key(|event| event.received);
        let mut waves: Vec<Self> = Vec::new();
        let mut last = None;
        for event in events {
            let goes_on = last.is_some_and(|last| event.received.duration_since(last) < GAP);
            last = Some(event.received);
            let wave = match waves.last_mut().filter(|_| goes_on) {
                Some(wave) => wave,
                None => {
                    waves.push(Self {
                        begun: event.received,
                        acked: BTreeMap::new(),
                        bytes: 0,
                        kinds: BTreeMap::new(),
                    });
                    let Some(new) = waves.last_mut() else {
                        return waves;
                    };
                    new
                }
            };
            let of_gateway = wave.acked.entry(event.stream).or_default();
            of_gateway.entry(event.kind).or_insert(event.acked);
            wave.bytes += event.bytes;
            *wave.kinds.entry(event.kind.label()).or_default() += 1;
        }
        waves
    }

    /// How many gateways it has reached.
    pub fn reached(&self) -> usize {
        self.acked.len()
    }

    /// How long after a moment each of them had accepted it.
    pub fn took(&self, since: Instant) -> Vec<Duration> {
        let acked = self.acked.values();
        acked
            .filter_map(|types| types.values().max())
            .map(|acked| acked.saturating_duration_since(since))
            .collect()
    }

    /// What was sent, e.g. `1000 extension, 34 route`.
    pub fn contents(&self) -> String {
        let kinds = self.kinds.iter();
        let kinds: Vec<String> = kinds
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        kinds.join(", ")
    }
}

/// A percentile, in milliseconds; `of` in percent.
pub fn percentile(mut took: Vec<Duration>, of: usize) -> f64 {
    took.sort_unstable();
    let at = (took.len() * of).div_ceil(100).max(1) - 1;
    took.get(at)
        .map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
}
