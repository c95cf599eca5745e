//! Changes of a body that leave the rest of its bytes as they are.

use std::ops::Range;

/// Some bytes of a body, and what takes their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    at: Range<usize>,
    text: String,
}

/// The beginning of a body, changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Edited {
    /// The bytes of the body that it replaces.
    pub replaces: usize,
    /// What takes their place.
    pub bytes: Vec<u8>,
}

impl Edit {
    /// Puts a text in the place of these bytes.
    pub fn new(at: Range<usize>, text: String) -> Self {
        Self { at, text }
    }
}

/// Makes edits. One within the bytes of another is void. `None`: there are none.
pub fn edit(body: &[u8], mut edits: Vec<Edit>) -> Option<Edited> {
    edits.sort_by_key(|edit| edit.at.start);
    let mut bytes = Vec::new();
    let mut replaces = 0;
    for Edit { at, text } in &edits {
        if let Some(before) = body.get(replaces..at.start) {
            bytes.extend_from_slice(before);
            bytes.extend_from_slice(text.as_bytes());
            replaces = at.end;
        }
    }
    (!edits.is_empty()).then_some(Edited { replaces, bytes })
}

/// The place of a slice of a body.
pub fn offset(body: &[u8], slice: &str) -> Range<usize> {
    let begin = slice.as_ptr() as usize - body.as_ptr() as usize;
    begin..begin + slice.len()
}

/// Removes parts of a list or an object, with their commas. `parts`: where each begins, and whether it stays; `end`: where the last one
/// ends.
pub fn removals(body: &[u8], parts: &[(usize, bool)], end: usize) -> Vec<Edit> {
    let kept = parts.iter().rposition(|(_, stays)| *stays);
    let kept = kept.map_or(0, |last| last + 1);
    let (inner, trailing) = parts.split_at(kept);
    let gone = inner.iter().zip(parts.iter().skip(1));
    let gone = gone.filter(|((_, stays), _)| !stays);
    let mut edits: Vec<_> = gone
        .map(|((begin, _), (next, _))| Edit::new(*begin..*next, String::new()))
        .collect();
    if let Some((begin, _)) = trailing.first() {
        let before = body.get(..*begin).unwrap_or_default();
        let is_between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
        let begin = before.iter().rposition(|byte| !is_between(byte));
        edits.push(Edit::new(
            begin.map_or(0, |last| last + 1)..end,
            String::new(),
        ));
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_go_with_their_commas() {
        let body = "[ a , b,c ]";
        for (goes, expect) in [
            ("a", "[ b,c ]"),
            ("b", "[ a , c ]"),
            ("c", "[ a , b ]"),
            ("ab", "[ c ]"),
            ("bc", "[ a ]"),
            ("ac", "[ b ]"),
            ("abc", "[ ]"),
        ] {
            let parts = [2, 6, 8].map(|begin| (begin, !goes.contains(&body[begin..=begin])));
            let edits = removals(body.as_bytes(), &parts, 9);
            let Edited { replaces, bytes } = edit(body.as_bytes(), edits).unwrap();
            let made = String::from_utf8(bytes).unwrap() + &body[replaces..];
            assert_eq!(made, expect, "without {goes}");
        }
        assert_eq!(
            edit(body.as_bytes(), removals(body.as_bytes(), &[(2, true)], 9)),
            None
        );
    }
}
