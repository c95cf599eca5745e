//! Reads server-sent events as they arrive, by the HTML standard, "Interpreting an event stream".

use super::shorten::Shortener;
use memchr::memchr2;

/// Maximum size of an event's data, in bytes. The data of a larger event is dropped.
pub const MAX_EVENT_BYTES: usize = 64 * 1024;

/// An event.
#[derive(Debug, PartialEq, Eq)]
pub struct Event<'e> {
    /// The data of the event. `None` if it is too large.
    pub data: Option<&'e [u8]>,
    /// The start of the event, in bytes from the start of the stream.
    pub begins: u64,
}

/// A reader of events. It keeps one event at most.
#[derive(Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    /// Events are shortened before they are dropped.
    shortens: bool,
    /// The present event is shortened.
    shortener: Option<Shortener>,
    has_data: bool,
    too_long: bool,
    after_cr: bool,
    at: u64,
    begins: u64,
}

impl Events {
    /// A reader that shortens the strings in the data of large events.
    pub fn shortened() -> Self {
        Self {
            shortens: true,
            ..Self::default()
        }
    }

    /// Reads the next piece of the stream, and calls `each` for every complete event. Returns the number of bytes of the stream
    /// up to the end of the last complete event.
    pub fn read(&mut self, piece: &[u8], mut each: impl FnMut(&Event<'_>)) -> u64 {
        let mut rest = piece;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            if let Some(after) = rest.strip_prefix(b"\n") {
                self.skip(1);
                rest = after;
            }
        }
        while let Some(end) = memchr2(b'\n', b'\r', rest) {
            let (line, after) = rest.split_at(end);
            self.keep(line);
            self.at += end as u64 + 1;
            let cr = after.first() == Some(&b'\r');
            rest = after.get(1..).unwrap_or_default();
            self.line_ends(&mut each);
            if cr {
                match rest.strip_prefix(b"\n") {
                    Some(after) => {
                        self.skip(1);
                        rest = after;
                    }
                    None => self.after_cr = rest.is_empty(),
                }
            }
        }
        self.keep(rest);
        self.at += rest.len() as u64;
        self.begins
    }

    /// Bytes read.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Skips the line feed of a CRLF.
    fn skip(&mut self, bytes: u64) {
        let between = self.begins == self.at;
        self.at += bytes;
        if between {
            self.begins = self.at;
        }
    }

    fn keep(&mut self, part: &[u8]) {
        for part in part.chunks(MAX_EVENT_BYTES) {
            self.keep_part(part);
        }
    }

    fn keep_part(&mut self, part: &[u8]) {
        let fits = |events: &Self, more: usize| {
            events.line.len() + events.data.len() + more <= MAX_EVENT_BYTES
        };
        if self.shortens && self.shortener.is_none() && !fits(self, part.len()) {
            let line = std::mem::take(&mut self.line);
            let shortener = self.shortener.insert(Shortener::default());
            shortener.push(&line, &mut self.line);
        }
        if let Some(shortener) = self.shortener.as_mut().filter(|_| !self.too_long) {
            shortener.push(part, &mut self.line);
            self.too_long = !fits(self, 0);
        } else {
            self.too_long |= !fits(self, part.len());
            if !self.too_long {
                self.line.extend_from_slice(part);
            }
        }
        if self.too_long {
            // Only whether the line is empty still matters.
            self.line.truncate(1);
            self.data.clear();
            if self.line.is_empty() {
                self.line.extend(part.first());
            }
        }
    }

    fn line_ends(&mut self, each: &mut impl FnMut(&Event<'_>)) {
        if self.line.is_empty() {
            if self.has_data || self.too_long {
                each(&Event {
                    data: (!self.too_long).then_some(&self.data),
                    begins: self.begins,
                });
            }
            self.data.clear();
            self.has_data = false;
            self.too_long = false;
            self.shortener = None;
            self.begins = self.at;
            return;
        }
        if let Some(shortener) = &mut self.shortener {
            // No string goes over the end of a line.
            *shortener = Shortener::default();
        }
        if self.too_long {
            self.line.clear();
            return;
        }
        let line = self
            .line
            .strip_prefix(b"\xef\xbb\xbf")
            .unwrap_or(&self.line);
        let value = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (line.get(..colon), line.get(colon + 1..)),
            None => (Some(line), None),
        };
        if let (Some(b"data"), value) = value {
            let value = value.unwrap_or_default();
            if self.has_data {
                self.data.push(b'\n');
            }
            self.data
                .extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
            self.has_data = true;
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::pieces::pieces;
    use proptest::prelude::*;

    /// The data and start of each event, and the bytes of complete events, of a stream in these pieces.
    fn read<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<(Option<String>, u64)>, u64) {
        let mut events = Events::default();
        let mut all = Vec::new();
        let mut complete = 0;
        for piece in pieces {
            complete = events.read(piece, |event| {
                let text = |data: &[u8]| String::from_utf8_lossy(data).into_owned();
                all.push((event.data.map(text), event.begins));
            });
        }
        (all, complete)
    }

    fn data(text: &str) -> Vec<String> {
        let (all, _) = read([text.as_bytes()]);
        all.into_iter().map(|(data, _)| data.unwrap()).collect()
    }

    #[test]
    fn events_of_the_standard() {
        assert_eq!(data("data: one\n\ndata:two\n\n"), ["one", "two"]);
        assert_eq!(data("data: a\ndata: b\n\n"), ["a\nb"]);
        assert_eq!(data("data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
        assert_eq!(data("data:  x\n\n"), [" x"]);
        assert_eq!(
            data(": a comment\n\nevent: ping\ndata: {}\nid: 7\n\n"),
            ["{}"]
        );
        assert_eq!(data("event: nothing\n\n"), [""; 0]);
        assert_eq!(
            data("data: a\r\n\r\ndata: b\r\rdata: c\n\r\n"),
            ["a", "b", "c"]
        );
        assert_eq!(data("\u{feff}data: bom\n\n"), ["bom"]);
        assert_eq!(data("datax: no\nDATA: no\n\n"), [""; 0]);
    }

    #[test]
    fn starts_of_events_and_complete_bytes() {
        let (all, complete) = read([&b"data: a\n\n: c\n\ndata: b\n\nda"[..]]);
        assert_eq!(all, [(Some("a".into()), 0), (Some("b".into()), 14)]);
        assert_eq!(complete, 23);
        let (_, complete) = read([&b"data: a\r\n\r"[..], b"\n", b"d"]);
        assert_eq!(complete, 11);
    }

    #[test]
    fn the_data_of_an_oversized_event_is_dropped() {
        let long = format!("data: {}\n\ndata: b\n\n", "x".repeat(MAX_EVENT_BYTES));
        let (all, complete) = read([long.as_bytes()]);
        assert_eq!(
            all,
            [(None, 0), (Some("b".into()), MAX_EVENT_BYTES as u64 + 8)]
        );
        assert_eq!(complete, long.len() as u64);
        let mut events = Events::default();
        for _ in 0..100 {
            events.read(&[b'x'; 10_000], |_| panic!("no event"));
            assert!(events.line.capacity() + events.data.capacity() <= 4 * MAX_EVENT_BYTES);
        }
        assert!(events.too_long);
        let lines = "data: xxxxxxxxx\n".repeat(10_000) + "\ndata: b\n\n";
        let (all, _) = read([lines.as_bytes()]);
        assert_eq!(
            (all.len(), &all[0].0, &all[1].0),
            (2, &None, &Some("b".into()))
        );
    }

    #[test]
    fn the_data_of_a_large_event_is_shortened() {
        let long = "x".repeat(1 << 20);
        let text = format!(
            "event: e\ndata: {{\"a\":\"{long}\",\"b\":1}}\n\ndata: {{\"a\":\"short\"}}\n\n"
        );
        for size in [1000, 70_000, text.len()] {
            let mut events = Events::shortened();
            let mut all = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                events.read(piece, |event| all.push(event.data.unwrap().to_vec()));
                assert!(events.line.capacity() + events.data.capacity() <= 4 * MAX_EVENT_BYTES);
            }
            let [large, small] = &all[..] else {
                panic!("{}", all.len())
            };
            assert!(
                large.len() < 5000 && large.ends_with(b"\",\"b\":1}"),
                "{}",
                large.len()
            );
            assert_eq!(small, b"{\"a\":\"short\"}");
        }
    }

    fn any_stream() -> impl Strategy<Value = Vec<u8>> {
        let part = prop::sample::select(vec![
            "data: ", "data:", "data", "\n", "\r", "\r\n", ":", " ", "x", "{}", "event: e",
            "[DONE]", "\u{feff}",
        ]);
        prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_events(stream in any_stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
            let pieces = pieces(&stream, &cuts);
            let (whole, complete) = read([stream.as_slice()]);
            prop_assert_eq!(read(pieces).0, whole);
            prop_assert!(complete <= stream.len() as u64);
        }

        #[test]
        fn any_bytes_are_read(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8)) {
            let total: usize = pieces.iter().map(Vec::len).sum();
            let (_, complete) = read(pieces.iter().map(Vec::as_slice));
            prop_assert!(complete <= total as u64);
        }
    }
}
