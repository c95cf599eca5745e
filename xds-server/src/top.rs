//! `meridian top`: the fleet, live.

mod state;
mod view;

use crate::endpoint::Endpoint;
use anyhow::{Context, Result, bail};
use meridian_xds_server::serve::report::Report;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use state::{State, Step};
use std::io::{IsTerminal, stdin, stdout};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::MissedTickBehavior;

/// Interval between two reports.
const REFRESH: Duration = Duration::from_secs(1);

/// Shows the fleet until the key `q` or `until`.
///
/// # Errors
/// This is no terminal, or it cannot be used. A control plane that does not answer is no error: the view says so, and goes on.
pub async fn top(endpoint: Endpoint, until: impl Future<Output = ()>) -> Result<()> {
    if !stdout().is_terminal() || !stdin().is_terminal() {
        bail!("top: this is no terminal; `meridian status` prints the state once");
    }
    let mut terminal = ratatui::try_init().context("top")?;
    let shown = tokio::select! {
        shown = show(&mut terminal, Arc::new(endpoint)) => shown,
        () = until => Ok(()),
    };
    let restored = ratatui::try_restore().context("top");
    shown.and(restored)
}

async fn show(terminal: &mut DefaultTerminal, endpoint: Arc<Endpoint>) -> Result<()> {
    let mut state = State::new(endpoint.shown());
    let mut events = events();
    let (sender, mut reports) = mpsc::channel::<Result<Report>>(1);
    let mut refreshes = tokio::time::interval(REFRESH);
    refreshes.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        terminal.draw(|frame| view::draw(frame, &mut state))?;
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Key(key)) if state.press(key) == Step::Quit => return Ok(()),
                Some(_) => {}
                None => bail!("top: the terminal is gone"),
            },
            _ = refreshes.tick() => {
                // One at a time: a control plane that hangs is not asked again.
                if let Ok(place) = sender.clone().try_reserve_owned() {
                    let endpoint = Arc::clone(&endpoint);
                    tokio::spawn(async move { place.send(endpoint.report().await) });
                }
            }
            Some(report) = reports.recv() => state.take(report),
        }
    }
}

/// What happens at the terminal. Reading blocks, so it has a thread, which ends with the process.
fn events() -> UnboundedReceiver<Event> {
    let (sender, events) = mpsc::unbounded_channel();
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    events
}

#[cfg(test)]
mod tests;
