//! Content encodings. The guard asks servers for none, but a server, or a proxy in front of it, may encode all the same.

use flate2::write::{GzDecoder, ZlibDecoder};
use std::io::{ErrorKind, Result, Write};

/// The request header that asks for no encoding.
pub const REQUEST_HEADER: (&str, &str) = ("accept-encoding", "identity");

/// What one piece may become, in bytes. A larger one is no answer of an inference server.
const MAX_DECODED_BYTES: usize = 16 << 20;
/// How many times its size a piece can become in these encodings, roughly.
const MAX_RATIO: usize = 1024;

/// Decodes a body piece by piece.
pub enum Decoder {
    /// `gzip`
    Gzip(GzDecoder<Vec<u8>>),
    /// `deflate`, which is zlib's format
    Deflate(ZlibDecoder<Vec<u8>>),
}

impl Decoder {
    /// The decoder of a content encoding. `None` if there is none for it.
    pub fn of(content_encoding: &str) -> Option<Self> {
        match content_encoding.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Self::Gzip(GzDecoder::new(Vec::new()))),
            "deflate" => Some(Self::Deflate(ZlibDecoder::new(Vec::new()))),
            _ => None,
        }
    }

    /// What the next piece of the body says, as far as it can be told by now.
    ///
    /// # Errors
    /// It is not in this encoding, or far too large.
    pub fn read(&mut self, piece: &[u8]) -> Result<Vec<u8>> {
        match self {
            Self::Gzip(decoder) => decode(decoder, piece, |decoder| decoder.get_mut()),
            Self::Deflate(decoder) => decode(decoder, piece, |decoder| decoder.get_mut()),
        }
    }
}

fn decode<D: Write>(
    decoder: &mut D,
    piece: &[u8],
    decoded: impl Fn(&mut D) -> &mut Vec<u8>,
) -> Result<Vec<u8>> {
    for part in piece.chunks(MAX_DECODED_BYTES / MAX_RATIO) {
        decoder.write_all(part)?;
        decoder.flush()?;
        if decoded(decoder).len() > MAX_DECODED_BYTES {
            return Err(ErrorKind::FileTooLarge.into());
        }
    }
    Ok(std::mem::take(decoded(decoder)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    /// Events, each flushed by itself as servers do, in one text.
    fn events(mut encoder: impl Write, ends: usize) {
        for n in 0..ends {
            write!(encoder, "data: {{\"n\":{n}}}\n\n").unwrap();
            encoder.flush().unwrap();
        }
    }

    #[test]
    fn pieces_of_any_size_are_decoded() {
        let (mut gzip, mut zlib) = (Vec::new(), Vec::new());
        events(GzEncoder::new(&mut gzip, Compression::fast()), 50);
        events(ZlibEncoder::new(&mut zlib, Compression::fast()), 50);
        let mut plain = Vec::new();
        events(&mut plain, 50);
        for (name, encoded) in [("gzip", gzip), ("Deflate", zlib)] {
            for size in [1, 7, 100, encoded.len()] {
                let mut decoder = Decoder::of(name).unwrap();
                let pieces = encoded.chunks(size);
                let decoded: Vec<u8> = pieces
                    .flat_map(|piece| decoder.read(piece).unwrap())
                    .collect();
                assert_eq!(decoded, plain, "{name} in pieces of {size}");
            }
        }
    }

    #[test]
    fn an_event_is_decoded_when_it_is_flushed() {
        let mut encoded = GzEncoder::new(Vec::new(), Compression::fast());
        let mut decoder = Decoder::of("gzip").unwrap();
        for n in 0..3 {
            let event = format!("data: {n}\n\n");
            encoded.write_all(event.as_bytes()).unwrap();
            encoded.flush().unwrap();
            let piece = std::mem::take(encoded.get_mut());
            assert_eq!(decoder.read(&piece).unwrap(), event.as_bytes());
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut encoded = GzEncoder::new(Vec::new(), Compression::best());
        encoded.write_all(&vec![b' '; 64 << 20]).unwrap();
        let encoded = encoded.finish().unwrap();
        assert!(encoded.len() < 100_000, "{}", encoded.len());
        assert!(Decoder::of("gzip").unwrap().read(&encoded).is_err());
    }

    #[test]
    fn what_is_not_encoded_is_an_error() {
        assert!(
            Decoder::of("gzip")
                .unwrap()
                .read(b"data: not gzip at all\n\n")
                .is_err()
        );
        assert!(Decoder::of("br").is_none());
        assert!(Decoder::of("gzip, br").is_none());
    }
}
