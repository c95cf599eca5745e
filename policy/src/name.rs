//! Names as types of their own: a zone cannot be passed where a region is meant, and no empty, oversized or unprintable name can be
//! made.

use serde::{Deserialize, Serialize};
use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;

/// Bytes of the longest name of a zone, region or fallback: they stand in cluster names, SPIFFE IDs and header values.
pub const LONGEST_NAME: usize = 63;
/// Bytes of the longest name of a model: it stands in header values and paths.
pub const LONGEST_MODEL_NAME: usize = 128;

/// A text that is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It cannot name a zone, region or fallback.
    #[error("`{0}` is not a name; use a-z, 0-9 and inner `-`, at most {LONGEST_NAME} characters")]
    Plain(String),
    /// It is not the ID of a definition.
    #[error("`{0}` is not the ID of a definition; it has the form `<name>@<16 digits of a hash>`")]
    Id(String),
    /// It cannot name a model.
    #[error(
        "`{0}` is not a model's name; use A-Z, a-z, 0-9 and ._:/@+- (at most {LONGEST_MODEL_NAME} characters)"
    )]
    Model(String),
}

/// The text of a bad name, cut: a name that is far too long is not repeated whole.
fn shown(text: &str) -> String {
    text.chars().take(2 * LONGEST_MODEL_NAME).collect()
}

const fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        at += 1;
    }
    let is_sized = !bytes.is_empty() && bytes.len() <= LONGEST_NAME;
    is_sized && bytes[0] != b'-' && bytes[bytes.len() - 1] != b'-'
}

/// Digits of the hash in the ID of a definition.
const HASH_DIGITS: usize = 16;

/// A name, `@`, and a hash in lower-case hex.
const fn is_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some(length) = bytes.len().checked_sub(HASH_DIGITS + 1) else {
        return false;
    };
    let (name, hash) = bytes.split_at(length);
    let mut at = 1;
    while at < hash.len() {
        if !matches!(hash[at], b'0'..=b'9' | b'a'..=b'f') {
            return false;
        }
        at += 1;
    }
    let Ok(name) = std::str::from_utf8(name) else {
        return false;
    };
    hash[0] == b'@' && is_plain(name)
}

const fn is_model(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b':' | b'/' | b'@' | b'+' | b'-')
        {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty() && bytes.len() <= LONGEST_MODEL_NAME
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $is_good:ident, $bad:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Cow<'static, str>);

        impl $name {
            /// A name that is written down in the code.
            ///
            /// # Panics
            /// The text is not a name; in a `const` this is an error of the compiler.
            pub const fn from_static(text: &'static str) -> Self {
                assert!($is_good(text), "this is not a name");
                Self(Cow::Borrowed(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                if $is_good(&text) {
                    Ok(Self(Cow::Owned(text)))
                } else {
                    Err(BadName::$bad(shown(&text)))
                }
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                text.to_owned().try_into()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A residency zone, e.g. `eea`.
    ZoneName, is_plain, Plain
}
name! {
    /// A location with a gateway and pools, e.g. `us-west-2`.
    RegionName, is_plain, Plain
}
name! {
    /// A model as callers name it, e.g. `meta-llama/Llama-3.1-70B`.
    ModelName, is_model, Model
}
name! {
    /// A hosted provider used last, e.g. `claude-eu`.
    FallbackName, is_plain, Plain
}

name! {
    /// The ID of one definition of a zone, e.g. `eea@5f2c9a4be1d07388`: the zone's name and a hash of what it promises. An edit of the
    /// fleet file can give the name another meaning. It never does so to the ID.
    ZoneId, is_id, Id
}
name! {
    /// The ID of one definition of a fallback, e.g. `claude-eu@0d8bb0e2f64c1a97`: see [`ZoneId`].
    FallbackId, is_id, Id
}

impl ZoneId {
    /// The ID of the definition of a zone whose content has this hash.
    pub fn new(zone: &ZoneName, hash: u64) -> Self {
        Self(Cow::Owned(format!("{zone}@{hash:016x}")))
    }
}

impl FallbackId {
    /// The ID of the definition of a fallback whose content has this hash.
    pub fn new(fallback: &FallbackName, hash: u64) -> Self {
        Self(Cow::Owned(format!("{fallback}@{hash:016x}")))
    }
}

impl ZoneName {
    /// The name that sorts before all others: where a range of zones begins.
    pub const LOWEST: Self = Self::from_static("0");
}

/// A name in statistics: a dot would end the tag that Envoy extracts it into.
pub fn stat(name: &str) -> String {
    let fine = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    name.chars().map(fine).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_name_cannot_be_made_by_any_way() {
        let long = "a".repeat(LONGEST_NAME + 1);
        for bad in [
            "", "-a", "a-", "EEA", "a b", "a/b", "eu\n", "\u{e9}u", &long,
        ] {
            assert!(bad.parse::<ZoneName>().is_err(), "{bad:?}");
            assert!(RegionName::try_from(bad.to_owned()).is_err(), "{bad:?}");
            let json = serde_json::to_string(bad).unwrap();
            let read = serde_json::from_str::<FallbackName>(&json);
            assert!(read.unwrap_err().to_string().contains("is not a name"));
        }
        let long = "a".repeat(LONGEST_MODEL_NAME + 1);
        for bad in ["", "a b", "a\r\nx: y", "\u{e9}", &long] {
            assert!(bad.parse::<ModelName>().is_err(), "{bad:?}");
        }
        let megabyte = "A".repeat(1 << 20).parse::<ZoneName>().unwrap_err();
        assert!(megabyte.to_string().len() < 500);
    }

    #[test]
    fn an_id_is_a_name_and_a_hash() {
        let zone: ZoneName = "eea".parse().unwrap();
        let id = ZoneId::new(&zone, 0xf00d);
        assert_eq!(id.as_str(), "eea@000000000000f00d");
        assert_eq!(id.as_str().parse(), Ok(id));
        for bad in [
            "eea",
            "eea@",
            "eea@f00d",
            "@000000000000f00d",
            "eea@000000000000F00D",
            "eea@0000000000000f00d",
            "eea@x@000000000000f00d",
            "\u{e9}@000000000000f00d",
        ] {
            assert!(bad.parse::<FallbackId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    #[should_panic(expected = "not a name")]
    fn a_bad_literal_panics() {
        let _ = RegionName::from_static("us west");
    }

    #[test]
    fn good_names_are_kept_as_they_are() {
        for good in ["a", "us-west-2", &"a".repeat(LONGEST_NAME)] {
            let name: RegionName = good.parse().unwrap();
            assert_eq!(name.as_str(), good);
            let json = serde_json::to_string(&name).unwrap();
            assert_eq!(serde_json::from_str::<RegionName>(&json).unwrap(), name);
        }
        for other in ["0", "00", "a", "0-0"] {
            assert!(ZoneName::LOWEST <= other.parse().unwrap());
        }
        let model: ModelName = "mistralai/Mistral-7B:instruct".parse().unwrap();
        assert_eq!(model.to_string(), "mistralai/Mistral-7B:instruct");
    }
}
