//! The reader of server-sent events: cuts make no difference, and what it says of its place is true.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meridian_filter_core::guard::sse::Events;
use meridian_fuzz::{parts, pieces};

/// An event: its data, and where it begins.
type Event = (Option<Vec<u8>>, u64);

/// The events, and the bytes of complete ones.
fn read(pieces: &[&[u8]]) -> (Vec<Event>, u64) {
    let mut events = Events::default();
    let mut all = Vec::new();
    let (mut complete, mut at) = (0, 0);
    for piece in pieces {
        complete = events.read(piece, |event| {
            all.push((event.data.map(<[u8]>::to_vec), event.begins));
        });
        at += piece.len() as u64;
        assert_eq!(events.at(), at);
        assert!(complete <= at);
    }
    (all, complete)
}

fuzz_target!(|input: &[u8]| {
    let Some((_, cuts, stream)) = parts(input) else {
        return;
    };
    let (whole, complete) = read(&[stream]);
    let (cut, _) = read(&pieces(cuts, stream));
    assert_eq!(cut, whole);
    assert!(whole.windows(2).all(|two| two[0].1 < two[1].1));
    assert!(whole.last().is_none_or(|(_, begins)| *begins < complete));
});
