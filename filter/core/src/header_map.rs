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
    /// Names and values, in their order; repeated headers repeated.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let begins = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        let places = begins.zip(&self.ends);
        places.filter_map(|(begin, (middle, end))| {
            Some((
                self.text.get(begin..*middle)?,
                self.text.get(*middle..*end)?,
            ))
        })
    }

    /// Whether there is a header of this name.
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// The first value of a header.
    pub fn first(&self, name: &str) -> Option<&str> {
        let mut all = self.iter();
        all.find_map(|(known, value)| (known == name).then_some(value))
    }

    /// A header's value; empty if there is none. Of one that is sent several times, all values joined by commas.
    pub fn text(&self, name: &str) -> Cow<'_, str> {
        let mut values = self.iter().filter(|(known, _)| *known == name);
        let first = values.next().map_or("", |(_, value)| value);
        values.fold(Cow::Borrowed(first), |joined, (_, value)| {
            Cow::Owned(joined.into_owned() + "," + value)
        })
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for HeaderMap {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(all: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in all {
            headers.text += &String::from_utf8_lossy(name.as_ref());
            let middle = headers.text.len();
            headers.text += &String::from_utf8_lossy(value.as_ref());
            headers.ends.push((middle, headers.text.len()));
        }
        headers
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
}
