//! Shortens JSON texts while they are read: long strings lose their ends, and all else stays.

/// What stays of a string, in bytes. Names, types and reasons are shorter, and so is what is told of an error's message.
const MAX_STRING_BYTES: usize = 4000;

/// A reader that keeps JSON short. A text that is no JSON comes out shortened in some way.
#[derive(Debug, Default)]
pub struct Shortener {
    place: Place,
    /// Bytes of the present string.
    length: usize,
    /// The rest of the present string is left out.
    drops: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Place {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash.
    Escape,
    /// So many digits of `\uXXXX` are to come.
    Hex(u8),
}

impl Shortener {
    /// Appends what stays of the next part of the text.
    pub fn push(&mut self, part: &[u8], out: &mut Vec<u8>) {
        out.extend(part.iter().filter(|byte| self.keeps(**byte)));
    }

    fn keeps(&mut self, byte: u8) -> bool {
        self.length += 1;
        self.place = match (self.place, byte) {
            (Place::Outside, b'"') => {
                self.length = 0;
                Place::Inside
            }
            (Place::Outside, _) => Place::Outside,
            (Place::Inside, b'"') => {
                self.drops = false;
                Place::Outside
            }
            (Place::Inside, _) => {
                // Neither a character of several bytes nor an escape is cut in two.
                let continues = byte & 0b1100_0000 == 0b1000_0000;
                self.drops |= self.length > MAX_STRING_BYTES && !continues;
                if byte == b'\\' {
                    Place::Escape
                } else {
                    Place::Inside
                }
            }
            (Place::Escape, b'u') => Place::Hex(4),
            (Place::Escape, _) | (Place::Hex(1), _) => Place::Inside,
            (Place::Hex(digits), _) => Place::Hex(digits - 1),
        };
        !self.drops
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn shortened(text: &str) -> String {
        let (mut out, mut shortener) = (Vec::new(), Shortener::default());
        shortener.push(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_long_strings_are_shorter() {
        let text = json!({ "a": "b".repeat(10_000), "c": [1, "d", { "e": "\"\\" }], "f": "stop" })
            .to_string();
        let value: Value = serde_json::from_str(&shortened(&text)).unwrap();
        assert_eq!(value["a"].as_str().map(str::len), Some(MAX_STRING_BYTES));
        assert_eq!(value["c"], json!([1, "d", { "e": "\"\\" }]));
        assert_eq!(value["f"], "stop");
    }

    proptest! {
        #[test]
        fn what_stays_is_json(
            character in prop::sample::select(vec!["x", "ü", "😀", "\\n", "\\\"", "\\\\", "\\u00e4", "{", "]"]),
            before in "[a-z]{0,6}",
            count in 0..6000_usize,
        ) {
            let text = format!(r#"{{"long":"{before}{}","type":"done"}}"#, character.repeat(count));
            let value: Value = serde_json::from_str(&shortened(&text)).unwrap();
            prop_assert_eq!(&value["type"], "done");
            let whole: Value = serde_json::from_str(&text).unwrap();
            let (long, short) = (whole["long"].as_str().unwrap(), value["long"].as_str().unwrap());
            prop_assert!(long.starts_with(short));
        }
    }
}
