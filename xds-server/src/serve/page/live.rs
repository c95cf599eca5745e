//! What changes, as server-sent events: the report, decisions that gateways report, and plans.

use crate::decisions::{Kept, Wanted};
use crate::serve::http::Pages;
use crate::serve::operator::WhichPlans;
use crate::serve::operator::json::Api;
use crate::serve::plans::Plans;
use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use tokio_stream::wrappers::BroadcastStream;

/// Time between two looks at what is new.
const LOOK: Duration = Duration::from_secs(1);
/// Every so many looks the report is sent.
const LOOKS_OF_A_REPORT: u64 = 2;
/// Most decisions in an event.
const MOST_DECISIONS: usize = 50;
/// Most plans in an event.
const MOST_PLANS: usize = 50;
/// Events that wait for a page. One that does not read them misses some.
const QUEUE: usize = 16;

/// Sends what is new to all open pages. Each event is made once.
#[derive(Clone)]
pub struct Live {
    events: broadcast::Sender<Event>,
    pages: Pages,
    decisions: Arc<Kept>,
    plans: Plans,
    stopped: watch::Receiver<bool>,
}

impl Live {
    /// Sends nothing yet.
    pub fn of(api: &Api, stopped: watch::Receiver<bool>) -> Self {
        Self {
            events: broadcast::Sender::new(QUEUE),
            pages: api.pages.clone(),
            decisions: Arc::clone(&api.decisions),
            plans: api.plans.clone(),
            stopped,
        }
    }

    /// Sends what is new as long as pages are open.
    pub async fn run(&self) {
        let mut looks = tokio::time::interval(LOOK);
        let (mut decision, mut plan) = (0, None);
        for look in 0_u64.. {
            looks.tick().await;
            if self.events.receiver_count() == 0 {
                (decision, plan) = (self.decisions.newest(), None);
                continue;
            }
            self.send_decisions(&mut decision);
            if look.is_multiple_of(LOOKS_OF_A_REPORT) {
                self.send_report().await;
                self.send_plans(&mut plan).await;
            }
        }
    }

    fn send_decisions(&self, after: &mut u64) {
        let wanted = Wanted {
            last: MOST_DECISIONS,
            after: *after,
            ..Wanted::default()
        };
        let found = self.decisions.find(&wanted);
        *after = found.newest;
        if !found.decisions.is_empty() {
            self.send("decisions", &found.decisions);
        }
    }

    async fn send_report(&self) {
        if let Ok(report) = self.pages.text().await {
            // An error means that the last page was closed.
            let _ = self
                .events
                .send(Event::default().event("status").data(report));
        }
    }

    /// Sends the plans since the last look; at the first, the last ones: a page may have asked for them a moment before.
    async fn send_plans(&self, after: &mut Option<u64>) {
        let which = WhichPlans {
            after: *after,
            limit: MOST_PLANS,
        };
        // A store that is away is read again at the next look.
        let Ok(found) = self.plans.history(which).await else {
            return;
        };
        if let Some(last) = found.plans.last() {
            *after = Some(last.number);
            self.send("plan", &found.plans);
        }
    }

    fn send(&self, name: &str, value: &impl Serialize) {
        if let Ok(event) = Event::default().event(name).json_data(value) {
            // An error means that the last page was closed.
            let _ = self.events.send(event);
        }
    }
}

/// The events for one page.
pub async fn events(
    State(live): State<Live>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = BroadcastStream::new(live.events.subscribe());
    // A page that was too slow has missed some.
    let events = events.filter_map(|event| std::future::ready(event.ok().map(Ok)));
    let mut stopped = live.stopped;
    let ended = async move {
        // An error means that the process ends as well.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    let events = events.take_until(ended);
    Sse::new(events).keep_alive(KeepAlive::default())
}
