//! The beginning of a text that somebody else wrote, for error messages and logs: callers write bodies of many megabytes.

use std::borrow::Cow;

/// Maximum length of a name or value in an error message, in bytes: more than any real model name or JSON path.
pub const MAX_VALUE: usize = 300;

/// Maximum length of an error message of another program, in bytes.
pub const MAX_MESSAGE: usize = 1000;

/// The text, or its first `max` bytes and its length. It is cut between characters.
pub fn excerpt(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    let beginning = &text[..text.floor_char_boundary(max)];
    Cow::Owned(format!("{beginning}... ({} bytes)", text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(excerpt("short", 5), "short");
        assert_eq!(excerpt("\u{e9}t\u{e9}", 2), "\u{e9}... (5 bytes)");
        assert_eq!(excerpt("\u{e9}t\u{e9}", 1), "... (5 bytes)");
    }
}
