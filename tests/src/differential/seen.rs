//! What was seen of an exchange, of logs and of metrics, as lines that can be compared.
//!
//! Lines of the two fleets differ in these things alone, which are made the same:
//! - Addresses begin with other numbers, and files lie in other directories.
//! - The IDs of definitions have hashes of the fallbacks' addresses in them.
//! - `x-meridian-request` has the number of a stream in it, which each kind of the filter counts for itself.
//! - `x-meridian-report` marks a request a second, whichever it is.
//! - Envoy looks at the clock for `date` twice a second, from its start on.
//! - Metrics of a module have the prefix `envoy_wasmcustom_`. One that is 0 is as good as one that is not there.
//! - Of a body that is too large, Envoy reads more or less until it refuses it: `bytes_in` of these requests.
//! - Where a gateway encodes an answer in gzip, the blocks end where pieces end. What they decode to is compared, and `bytes_out` is not.
//! - Envoy puts different words before the filter's lines in its log.

use super::caller::Heard;
use super::message::Message;
use super::plan::MEMBERS;
use super::server::Received;
use super::side::Place;
use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a body that are shown.
const SHOWN: usize = 300;

impl Place {
    /// What a caller got.
    pub fn heard(&self, heard: &Heard) -> Vec<String> {
        let mut lines = vec![format!("caller: ended at {} ms", heard.at_ms)];
        for interim in &heard.interim {
            lines.extend(self.message("caller: interim", interim));
        }
        match &heard.answer {
            Some(answer) => lines.extend(self.message("caller", answer)),
            None => lines.push("caller: no answer".into()),
        }
        lines.push(self.bytes("caller: behind the answer", &heard.behind));
        lines.push(format!("caller: error {:?}", heard.error));
        lines
    }

    /// What the members got.
    pub fn received(&self, all: &[Vec<Received>]) -> Vec<String> {
        let mut lines = Vec::new();
        for (member, received) in MEMBERS.iter().zip(all) {
            for (number, received) in received.iter().enumerate() {
                let what = format!("{member} {number}");
                let Received {
                    message,
                    at_ms,
                    written,
                    is_left,
                } = received;
                lines.push(format!(
                    "{what}: at {at_ms} ms, {written} pieces written, left {is_left}"
                ));
                lines.extend(self.message(&what, message));
            }
        }
        lines
    }

    fn message(&self, what: &str, message: &Message) -> Vec<String> {
        let mut lines = Vec::new();
        for (part, bytes) in [("head", &message.head), ("trailer", &message.trailers)] {
            let text = self.same(bytes);
            let text = text.split(|byte| *byte == b'\n');
            let text = text.map(|line| String::from_utf8_lossy(line).trim_end().to_owned());
            let text = text.filter(|line| !line.starts_with("x-meridian-report: "));
            lines.extend(text.map(|line| {
                let line = match line.split_once(": ") {
                    Some(("x-meridian-request", _)) => "x-meridian-request: a number",
                    Some(("date", _)) => "date: a time",
                    _ => &line,
                };
                format!("{what}: {part} {line}")
            }));
        }
        let decoded = gunzipped(message);
        lines.push(format!("{what}: body in gzip {}", decoded.is_some()));
        let body = decoded.as_ref().unwrap_or(&message.body);
        lines.push(self.bytes(&format!("{what}: body"), body));
        lines.push(format!("{what}: cut {}", message.is_cut));
        lines
    }

    /// All bytes count, by their hash.
    fn bytes(&self, what: &str, bytes: &[u8]) -> String {
        let bytes = self.same(bytes);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
        let (length, hash) = (bytes.len(), xxh3_64(&bytes));
        format!("{what}: {length} bytes, hash {hash:016x}: {shown:?}")
    }

    /// Bytes with the same addresses and directories in both worlds.
    fn same(&self, bytes: &[u8]) -> Vec<u8> {
        let dir = self.dir.to_string_lossy().into_owned();
        let bytes = replaced(bytes, self.prefix.as_bytes(), b"127.x.y.");
        without_hashes(replaced(&bytes, dir.as_bytes(), b"DIR"))
    }

    /// The lines of a gateway's access log, sorted. `encoded`: the ids of requests whose answers came in gzip.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn access_log(&self, region: &str, encoded: &BTreeSet<String>) -> Result<Vec<String>> {
        let text = std::fs::read(self.dir.join(format!("{region}.access.log")))?;
        let text = String::from_utf8_lossy(&self.same(&text)).into_owned();
        let lines = text.lines().map(|line| log_entry(line, encoded));
        let mut lines: Vec<String> = lines.collect();
        // What ends at one moment is logged in any order.
        lines.sort();
        Ok(lines)
    }

    /// The lines of the filter, and those of Envoy from warnings on, in a gateway's log.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn log(&self, region: &str) -> Result<Vec<String>> {
        let text = std::fs::read(self.dir.join(format!("{region}.log")))?;
        let text = String::from_utf8_lossy(&self.same(&text)).into_owned();
        Ok(text.lines().filter_map(log_line).collect())
    }
}

/// A line of an access log, without the bytes that are the network's.
fn log_entry(line: &str, encoded: &BTreeSet<String>) -> String {
    let field = |name: &str| {
        let (_, rest) = line.split_once(&format!("\"{name}\":\""))?;
        Some(rest.split_once('"')?.0)
    };
    if field("details") == Some("request_payload_too_large") {
        return without(line, "bytes_in");
    }
    if field("request_id").is_some_and(|id| encoded.contains(id)) {
        return without(line, "bytes_out");
    }
    line.to_owned()
}

fn without(line: &str, field: &str) -> String {
    let parts = line.split_once(&format!("\"{field}\":"));
    let parts = parts.and_then(|(before, rest)| Some((before, rest.split_once(',')?.1)));
    match parts {
        Some((before, behind)) => format!("{before}{behind}"),
        None => line.to_owned(),
    }
}

/// The body of an answer that says that it is in gzip, decoded as far as it goes.
pub fn gunzipped(message: &Message) -> Option<Vec<u8>> {
    let head = String::from_utf8_lossy(&message.head);
    let mut lines = head.lines();
    lines.find(|line| line.eq_ignore_ascii_case("content-encoding: gzip"))?;
    let mut decoded = Vec::new();
    let read = GzDecoder::new(message.body.as_slice()).read_to_end(&mut decoded);
    (read.is_ok() || message.is_cut).then_some(decoded)
}

/// A line of Envoy's log: `[time][thread][level][module] [place] words`.
fn log_line(line: &str) -> Option<String> {
    let mut parts = line.splitn(5, ']');
    let level = parts.nth(2)?.trim_start_matches('[');
    if let Some((_, words)) = line.rsplit_once(" meridian: ") {
        return Some(format!("{level} meridian: {words}"));
    }
    matches!(level, "warning" | "error" | "critical").then(|| {
        let words = parts.nth(1).unwrap_or_default();
        format!("{level} Envoy: {words}")
    })
}

/// The samples of a page of metrics that are not 0.
///
/// # Errors
/// A sample is none.
pub fn samples(page: &str) -> Result<Vec<String>> {
    let mut samples = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
        let name = name.strip_prefix("envoy_wasmcustom_").unwrap_or(name);
        if value.parse::<f64>()? != 0.0 {
            samples.insert(name.to_owned(), value.to_owned());
        }
    }
    let samples = samples.into_iter();
    Ok(samples
        .map(|(name, value)| format!("{name} {value}"))
        .collect())
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = find(rest, from) {
        all.extend_from_slice(&rest[..at]);
        all.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    all.extend_from_slice(rest);
    all
}

/// Bytes without the hashes in IDs of definitions: `@` and 16 digits.
fn without_hashes(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(found) = find(&bytes[at..], b"@") {
        at += found + 1;
        if let Some(hash) = bytes.get_mut(at..at + 16)
            && hash.iter().all(u8::is_ascii_hexdigit)
        {
            hash.fill(b'0');
        }
    }
    bytes
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == first) {
        if bytes[from + at..].starts_with(what) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// The first lines that only one of two lists has at its place.
pub fn difference(wasm: &[String], native: &[String]) -> Option<String> {
    if wasm == native {
        return None;
    }
    let only = |these: &[String], those: &[String]| {
        let mut left: Vec<&String> = those.iter().collect();
        let mut only = Vec::new();
        for line in these {
            match left.iter().position(|other| *other == line) {
                Some(at) => {
                    left.remove(at);
                }
                None => only.push(line.as_str()),
            }
        }
        only.truncate(8);
        only.join("\n    ")
    };
    let (one, other) = (only(wasm, native), only(native, wasm));
    if one.is_empty() && other.is_empty() {
        return Some(format!(
            "the same lines in another order: {wasm:#?} {native:#?}"
        ));
    }
    Some(format!(
        "\n  wasm only:\n    {one}\n  native only:\n    {other}"
    ))
}
