//! What the targets have in common.

use meridian_filter_core::claude::{CallerApi, ResponseContext, Usage};
use meridian_policy::egress_policy::ClaudeHost;

/// A fuzzed input, taken apart: a byte that chooses, two places to cut, and the rest.
pub fn parts(input: &[u8]) -> Option<(u8, [usize; 2], &[u8])> {
    let ([choice, one, other], rest) = input.split_first_chunk::<3>()?;
    let place = |part: u8| usize::from(part) * rest.len() / 256;
    let (one, other) = (place(*one), place(*other));
    Some((*choice, [one.min(other), one.max(other)], rest))
}

/// The three pieces that two cuts make.
pub fn pieces(cuts: [usize; 2], all: &[u8]) -> [&[u8]; 3] {
    [&all[..cuts[0]], &all[cuts[0]..cuts[1]], &all[cuts[1]..]]
}

/// What a caller gets of a stream that comes in these pieces, and what it took.
pub fn passed<'p>(
    host: ClaudeHost,
    caller: CallerApi,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Vec<u8>, Usage) {
    let back = ResponseContext {
        host,
        caller,
        stream: true,
    };
    let mut stream = back.stream(200, 0).expect("200 is a stream");
    let mut all = Vec::new();
    for piece in pieces {
        all.extend_from_slice(&stream.read(piece));
    }
    (all, stream.usage())
}

/// Every event of a chat's stream is a line of JSON or its end, and nothing comes after an error or the end.
pub fn assert_chunks(stream: &[u8]) {
    let text = std::str::from_utf8(stream).expect("chunks are text");
    let mut is_over = false;
    for event in text.split_terminator("\n\n") {
        assert!(!is_over, "something comes after the end: {text}");
        let data = event.strip_prefix("data: ").expect("an event has data");
        is_over = data == "[DONE]";
        if !is_over {
            let chunk: serde_json::Value = serde_json::from_str(data).expect("data is JSON");
            is_over = chunk["error"].is_object();
        }
    }
}
