//! What the servers of this region's pools have to do, by what this Envoy sends them. Workers tell each other at once, so that no
//! two choose the same.

use crate::{board, memory};
use meridian_policy::slots::{Ask, Begun, Load, Slots, is_failure};
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    /// By model.
    static POOLS: RefCell<HashMap<String, Pool>> = RefCell::default();
}

#[derive(Default)]
struct Pool {
    slots: Slots,
    /// When it heard the other workers last, in milliseconds since the Unix epoch.
    heard: u64,
}

/// What other workers say is as good for so long, in milliseconds: to read it takes longer than to pick.
const FRESH_MS: u64 = 2;

/// What a request of unknown length is taken to have, in bytes.
const BYTES: u64 = 4096;

/// A request at a server, until it is dropped.
pub struct Sent {
    model: String,
    begun: Option<Begun>,
}

/// The slot of a request.
pub fn pick(model: &str, ask: Ask) -> u16 {
    with(model, |pool| {
        if ask.now_ms.abs_diff(pool.heard) >= FRESH_MS {
            pool.heard = ask.now_ms;
            let said = board::read(&topic(model));
            let lines = said.iter().flat_map(|said| said.lines());
            pool.slots.hear(lines.filter_map(load));
        }
        pool.slots.pick(ask)
    })
}

/// The server that a slot is known to lead to.
pub fn address(model: &str, slot: u16) -> Option<String> {
    with(model, |pool| pool.slots.address(slot).map(str::to_owned))
}

/// A slot has led to this server.
pub fn learn(model: &str, slot: u16, address: &str) {
    with(model, |pool| pool.slots.learn(slot, address));
}

/// A request is sent to a server. `length`: what tells its bytes.
pub fn begin(model: &str, address: &str, length: &str) -> Sent {
    let bytes = length.parse().unwrap_or(BYTES);
    let begun = with(model, |pool| pool.slots.begin(address, bytes));
    tell(model);
    Sent {
        model: model.to_owned(),
        begun: Some(begun),
    }
}

impl Sent {
    /// Its server has failed it, unless it has answered already, and is left alone for a while.
    pub fn failed(&mut self) {
        if let Some(begun) = &mut self.begun {
            let now = memory::steady_ms();
            with(&self.model, |pool| pool.slots.failed(begun, now));
        }
    }

    /// Its server has answered with this status.
    pub fn answered(&mut self, status: u16) {
        if is_failure(status) {
            self.failed();
        } else if let Some(begun) = &mut self.begun {
            with(&self.model, |pool| pool.slots.answered(begun));
        }
    }

    /// Its first token has come.
    pub fn first_token(&mut self) {
        if let Some(begun) = self.begun.as_mut().filter(|begun| !begun.is_read()) {
            with(&self.model, |pool| pool.slots.first_token(begun));
            tell(&self.model);
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            with(&self.model, |pool| pool.slots.end(begun));
            tell(&self.model);
        }
    }
}

/// Says all of it again: this worker has another place.
pub fn tell_all() {
    let models: Vec<String> = POOLS.with_borrow(|pools| pools.keys().cloned().collect());
    for model in models {
        tell(&model);
    }
}

/// A line for each server: bytes, requests, address.
fn tell(model: &str) {
    let said = with(model, |pool| {
        pool.slots
            .own()
            .fold(String::new(), |said, (address, load)| {
                said + &format!("{} {} {address}\n", load.unread, load.requests)
            })
    });
    board::write(&topic(model), &said);
}

fn load(line: &str) -> Option<(&str, Load)> {
    let (unread, rest) = line.split_once(' ')?;
    let (requests, address) = rest.split_once(' ')?;
    let load = Load {
        unread: unread.parse().ok()?,
        requests: requests.parse().ok()?,
    };
    Some((address, load))
}

fn topic(model: &str) -> String {
    format!("servers {model}")
}

fn with<R>(model: &str, what: impl FnOnce(&mut Pool) -> R) -> R {
    POOLS.with_borrow_mut(|pools| what(pools.entry(model.to_owned()).or_default()))
}
