//! The paths that `scripts/instructions` counts the instructions of. Each test is a row of its table: it plays a path REPETITIONS times, or
//! a path whose stream has so many chunks.

use super::guarding::{DONE, HELLO};
use super::paths::{Fallback, Gateway, Peer, WHOLE, policy};
use super::shares::keeping;
use meridian_fixtures::fleets::{EAST, WEST};

/// The body of a large request, in bytes.
const LARGE: usize = 16 << 10;

fn repetitions() -> u32 {
    let text = std::env::var("REPETITIONS");
    text.map_or(1, |text| text.parse().unwrap())
}

/// Ids of streams, two for each repetition: the caller's and the attempt's.
fn ids() -> impl Iterator<Item = u32> {
    (0..repetitions()).map(|at| 2 * at + 1)
}

/// A stream with this chunk as often as there are repetitions.
fn chunks<'c>(first: &'c str, chunk: &'c str, last: &'c str) -> Vec<&'c str> {
    let mut all = vec![first];
    all.extend((0..repetitions()).map(|_| chunk));
    all.push(last);
    all
}

#[test]
fn at_home() {
    let mut gateway = Gateway::start(&policy());
    ids().for_each(|id| drop(gateway.chat(id, WEST, false, &[WHOLE])));
}

#[test]
fn at_home_with_a_body_of_16_kib() {
    let mut gateway = Gateway::start(&policy());
    gateway.content = "x".repeat(LARGE);
    ids().for_each(|id| drop(gateway.chat(id, WEST, false, &[WHOLE])));
}

#[test]
fn at_home_with_a_stream_of_4_chunks() {
    let mut gateway = Gateway::start(&policy());
    let pieces = [HELLO, HELLO, HELLO, DONE];
    ids().for_each(|id| drop(gateway.chat(id, WEST, true, &pieces)));
}

#[test]
fn each_chunk_of_a_stream_at_home() {
    let mut gateway = Gateway::start(&policy());
    gateway.chat(1, WEST, true, &chunks(HELLO, HELLO, DONE));
}

#[test]
fn by_another_region() {
    let mut gateway = Gateway::start(&keeping(0));
    ids().for_each(|id| drop(gateway.chat(id, EAST, false, &[WHOLE])));
}

#[test]
fn at_a_peer() {
    let mut peer = Peer::start();
    ids().for_each(|id| drop(peer.chat(id)));
}

#[test]
fn refused() {
    let mut gateway = Gateway::start(&policy());
    ids().for_each(|id| drop(gateway.refuse(id)));
}

#[test]
fn at_the_egress_to_claude() {
    let mut fallback = Fallback::start();
    ids().for_each(|id| drop(fallback.chat(id)));
}

/// Events of Claude: the first one, one with text, the last ones.
const CLAUDE: [&str; 3] = [
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude\",\"usage\":{\"input_tokens\":3}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" token7\"}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
];

fn claude_streams(path: &str) {
    let [first, text, last] = CLAUDE;
    Fallback::start().stream(1, path, &chunks(first, text, last));
}

#[test]
fn each_chunk_of_claude_translated() {
    claude_streams("/v1/chat/completions");
}

#[test]
fn each_chunk_of_claude_as_it_is() {
    claude_streams("/v1/messages");
}
