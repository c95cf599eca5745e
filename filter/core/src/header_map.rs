//! The headers of a request or an answer.

use std::borrow::Cow;

/// All headers of one side as text, whatever their bytes are. A hook that needs several reads all of them: each one by itself would be a
/// host call of its own, and all of them cost as much as two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderMap {
    /// Names and values, one behind the other.
    text: String,
    /// Where the name and the value of each header end in the text.
    ends: Vec<(usize, usize)>,
}

impl HeaderMap {
    /// Of names and values.
    pub fn of(headers: &[(&[u8], &[u8])]) -> Self {
        let bytes = headers.iter().map(|(name, value)| name.len() + value.len());
        let mut text = Vec::with_capacity(bytes.sum());
        let mut ends = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            text.extend_from_slice(name);
            let middle = text.len();
            text.extend_from_slice(value);
            ends.push((middle, text.len()));
        }
        // Of other bytes, the last of one part and the first of the next may look like one character.
        match String::from_utf8(text) {
            Ok(text) if text.is_ascii() => Self { text, ends },
            _ => Self::of_any(headers),
        }
    }

    /// Of bytes that are not all ASCII. Those that are no UTF-8 are replaced.
    fn of_any(headers: &[(&[u8], &[u8])]) -> Self {
        let mut all = Self::default();
        for (name, value) in headers {
            all.text += &String::from_utf8_lossy(name);
            let middle = all.text.len();
            all.text += &String::from_utf8_lossy(value);
            all.ends.push((middle, all.text.len()));
        }
        all
    }

    /// Names and values, in their order; repeated headers repeated.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut begin = 0;
        self.ends.iter().filter_map(move |(middle, end)| {
            let name = self.text.get(begin..*middle);
            begin = *end;
            Some((name?, self.text.get(*middle..*end)?))
        })
    }

    /// Whether there is a header of this name.
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// The first value of a header.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// A header's value; empty if there is none. Of one that is sent several times, all values joined by commas.
    pub fn text(&self, name: &str) -> Cow<'_, str> {
        let mut values = self.values(name);
        let first = values.next().unwrap_or_default();
        values.fold(Cow::Borrowed(first), |joined, value| {
            Cow::Owned(joined.into_owned() + "," + value)
        })
    }

    /// All values of a header.
    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let mut begin = 0;
        self.ends.iter().filter_map(move |(middle, end)| {
            let known = begin..*middle;
            begin = *end;
            // Most names differ in their lengths already.
            let is_it = known.len() == name.len() && self.text.get(known) == Some(name);
            is_it.then(|| self.text.get(*middle..*end)).flatten()
        })
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for HeaderMap {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(all: I) -> Self {
        let all: Vec<(N, V)> = all.into_iter().collect();
        let all = all
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()));
        Self::of(&all.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_told_apart() {
        let all = [("a", "1"), ("b", ""), ("", "3"), ("a", "4"), ("ü", "5")];
        let headers: HeaderMap = all.into_iter().collect();
        assert!(headers.iter().eq(all));
        assert_eq!(headers.first("a"), Some("1"));
        assert_eq!(headers.text("a"), "1,4");
        assert_eq!((headers.text("b"), headers.has("b")), ("".into(), true));
        assert_eq!((headers.text("c"), headers.has("c")), ("".into(), false));
    }

    #[test]
    fn bytes_that_are_no_text_stay_in_their_header() {
        let all: [(&[u8], &[u8]); 2] = [(b"a", b"\xff\xc3"), (b"b", b"\xbc")];
        let headers: HeaderMap = all.into_iter().collect();
        assert_eq!(headers.text("a"), "\u{fffd}\u{fffd}");
        assert_eq!(headers.text("b"), "\u{fffd}");
    }

    #[test]
    fn no_character_is_made_of_the_bytes_of_two_parts() {
        let all: [(&[u8], &[u8]); 1] = [(b"a\xc3", b"\xbc")];
        let headers: HeaderMap = all.into_iter().collect();
        assert!(headers.iter().eq([("a\u{fffd}", "\u{fffd}")]));
    }
}
