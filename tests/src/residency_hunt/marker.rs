//! Markers: text that stands in one part of one request only.

/// What every marker begins with.
const PREFIX: &[u8] = b"zqmk";

/// Hexadecimal digits of a request's number.
const DIGITS: usize = 8;

/// The length of a marker: prefix, number, part.
pub const LENGTH: usize = PREFIX.len() + DIGITS + 1;

/// A part of a request, as one letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The content of the body.
    Body,
    /// A header of the caller's own.
    Header,
    /// The query.
    Query,
    /// The path.
    Path,
    /// A trailer.
    Trailer,
    /// An extension of a chunk.
    Extension,
}

impl Part {
    const ALL: [Self; 6] = [
        Self::Body,
        Self::Header,
        Self::Query,
        Self::Path,
        Self::Trailer,
        Self::Extension,
    ];

    fn letter(self) -> u8 {
        match self {
            Self::Body => b'b',
            Self::Header => b'h',
            Self::Query => b'q',
            Self::Path => b'p',
            Self::Trailer => b't',
            Self::Extension => b'e',
        }
    }
}

/// The marker of a part of a request.
pub fn marker(id: u32, part: Part) -> String {
    let prefix = String::from_utf8_lossy(PREFIX);
    format!("{prefix}{id:08x}{}", char::from(part.letter()))
}

/// The markers in these bytes.
pub fn find(bytes: &[u8]) -> Vec<(u32, Part)> {
    let starts = bytes
        .windows(LENGTH)
        .filter(|text| text.starts_with(PREFIX));
    let markers = starts.filter_map(|text| {
        let digits = std::str::from_utf8(&text[PREFIX.len()..LENGTH - 1]).ok()?;
        let part = Part::ALL
            .into_iter()
            .find(|part| part.letter() == text[LENGTH - 1])?;
        Some((u32::from_str_radix(digits, 16).ok()?, part))
    });
    markers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_wherever_they_stand() {
        let text = format!(
            "a{}b{}",
            marker(7, Part::Body),
            marker(1 << 30, Part::Trailer)
        );
        let found = find(text.as_bytes());
        assert_eq!(found, [(7, Part::Body), (1 << 30, Part::Trailer)]);
        assert_eq!(marker(7, Part::Body).len(), LENGTH);
        assert!(find(b"zqmk0000").is_empty());
    }
}
