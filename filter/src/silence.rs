//! Streams that fall silent after their first content. Envoy's own limit for silence would count from the request on, and end
//! requests that wait for a first content: so each worker looks now and then who has not been heard for too long.

use crate::asked::{Asked, STALL};
use crate::memory;
use proxy_wasm::hostcalls;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// A stream of which its caller has a part.
struct Heard {
    asked: Rc<Asked>,
    /// When it is given up, by the worker's clock, in milliseconds.
    until: u64,
}

thread_local! {
    /// This worker's, by their contexts.
    static STREAMS: RefCell<HashMap<u32, Heard>> = RefCell::default();
}

/// How often to look, for a limit in milliseconds: it is passed by a tenth or a second, whichever is less.
pub fn look_every(gap_ms: u64) -> Duration {
    Duration::from_millis((gap_ms / 10).clamp(50, 1000))
}

/// Something of a stream goes to its caller, who will wait so long for more, in milliseconds.
pub fn heard(context: u32, asked: &Rc<Asked>, gap_ms: u64) {
    let until = memory::steady_ms().saturating_add(gap_ms);
    STREAMS.with_borrow_mut(|streams| {
        let heard = streams.entry(context).or_insert_with(|| Heard {
            asked: asked.clone(),
            until,
        });
        heard.until = until;
    });
}

/// A stream is over.
pub fn forget(context: u32) {
    STREAMS.with_borrow_mut(|streams| streams.remove(&context));
}

/// Ends the streams that have been silent for too long: their callers see a connection that breaks off.
pub fn end() {
    let now = memory::steady_ms();
    let silent: Vec<(u32, Heard)> = STREAMS
        .with_borrow_mut(|streams| streams.extract_if(|_, heard| heard.until < now).collect());
    for (context, heard) in silent {
        heard.asked.broken(STALL);
        // One that is over by now needs no end.
        if hostcalls::set_effective_context(context).is_ok() {
            let _ = hostcalls::reset_http_response();
        }
    }
}
